"""The feature extractors by the name under which ``evaluation.extractor`` chooses them."""

from collections.abc import Callable

import numpy as np

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.alike import check_tiles_differ
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors.base import Extractor, ExtractorQuality

# Their modules are imported when one is loaded: torch-fidelity takes seconds, and most processes evaluate nothing.


def _domain_cnn(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.domain_cnn_training import load_domain_cnn

    _check_domain_cnn(store, config)
    return load_domain_cnn(store, config)


def _inception(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.inception import load_inception

    return load_inception(store, config)


EXTRACTORS: dict[str, Callable[[TileStore, EvaluationConfig], Extractor]] = {
    "domain-cnn": _domain_cnn,
    "inception-v3-compat": _inception,
}


def _check_domain_cnn(store: TileStore, config: EvaluationConfig) -> None:
    training = store.indices("train")
    present = np.unique(store.labels[training])
    if len(present) < 2:
        names = ", ".join(store.label_names[int(label)] for label in present) or "none"
        raise EvaluationError(
            f"evaluation.extractor 'domain-cnn' learns to tell labels apart and needs at least 2 among the training "
            f"tiles, but {store.path} has {len(present)} ({names}); use evaluation.extractor "
            "'inception-v3-compat' for this store"
        )
    check_tiles_differ(store, training, "training tiles that evaluation.extractor 'domain-cnn' would learn from")


def _check_inception(store: TileStore, config: EvaluationConfig) -> None:
    from fedray.evaluation.extractors.inception import check_inception

    check_inception(store, config)


_CHECKS: dict[str, Callable[[TileStore, EvaluationConfig], None]] = {
    "domain-cnn": _check_domain_cnn,
    "inception-v3-compat": _check_inception,
}


def check_extractor(store: TileStore, config: EvaluationConfig) -> None:
    """Refuse an extractor that cannot work on a store, or lacks its weights; trains and downloads nothing.

    Raises:
        EvaluationError: The message names the rule, what was found and the remedy.
    """
    _CHECKS[config.extractor](store, config)


__all__ = ["EXTRACTORS", "Extractor", "ExtractorQuality", "check_extractor"]
