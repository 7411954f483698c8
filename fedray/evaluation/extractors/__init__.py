"""The feature extractors by the name under which ``evaluation.extractor`` chooses them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fedray.config import EvaluationConfig
from fedray.config.extractors import EXPORTED, FROM_FILE
from fedray.data import TileStore
from fedray.evaluation.alike import check_tiles_differ
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors.base import Extractor, ExtractorQuality
from fedray.pretrained import PretrainedError, check_lite0

# Their modules are imported when one is loaded: torch-fidelity takes seconds, and most processes evaluate nothing.


def _domain_cnn(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.domain_cnn_training import load_domain_cnn

    _check_domain_cnn(store, config)
    return load_domain_cnn(store, config)


def _inception(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.inception import load_inception

    return load_inception(store, config)


def _lite0(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.lite0 import load_lite0

    _check_lite0(store, config)
    return load_lite0(store, config)


def _load_from_file(store: TileStore, config: EvaluationConfig) -> Extractor:
    loaded: Extractor = _module_of(config).load(store, config)
    return loaded


def _module_of(config: EvaluationConfig) -> Any:
    """Return the module that knows extractors from a file of this kind."""
    if config.extractor_kind in EXPORTED:
        from fedray.evaluation.extractors import exported

        return exported
    from fedray.evaluation.extractors import timm_file

    return timm_file


EXTRACTORS: dict[str, Callable[[TileStore, EvaluationConfig], Extractor]] = {
    "efficientnet-lite0": _lite0,
    "domain-cnn": _domain_cnn,
    "inception-v3-compat": _inception,
    "timm": _load_from_file,
    "pt2": _load_from_file,
    "torchscript": _load_from_file,
}


def load_extractor(store: TileStore, config: EvaluationConfig) -> Extractor:
    """Load the extractor that a configuration names.

    Raises:
        EvaluationError: It cannot work on this store, or lacks its weights; the message names the remedy.
    """
    return EXTRACTORS[config.extractor_kind](store, config)


def extractor_name(config: EvaluationConfig) -> str:
    """Name the extractor as scores do: of one from a file, with what tells its weights and its preprocessing apart.

    Raises:
        EvaluationError: It comes from a file, and that is not there, or not all is known of it.
    """
    return (
        _module_of(config).protocol_of(config).name if config.extractor_kind in FROM_FILE else config.chosen_extractor
    )


def described_protocol(config: EvaluationConfig) -> str:
    """Say in a sentence what the name of an extractor from a file stands for; nothing of another one.

    Raises:
        EvaluationError: As of :func:`extractor_name`.
    """
    return str(_module_of(config).protocol_of(config)) if config.extractor_kind in FROM_FILE else ""


def settled_extractor(config: EvaluationConfig) -> Mapping[str, Any]:
    """Return the fields of the section that say all of an extractor from a file, so that no machine takes another.

    Raises:
        EvaluationError: As of :func:`extractor_name`.
    """
    return dict(_module_of(config).settled(config)) if config.extractor_kind in FROM_FILE else {}


def _check_domain_cnn(store: TileStore, config: EvaluationConfig) -> None:
    training = store.indices("train")
    present = np.unique(store.labels[training])
    if len(present) < 2:
        names = ", ".join(store.label_names[int(label)] for label in present) or "none"
        raise EvaluationError(
            f"evaluation.extractor 'domain-cnn' learns to tell labels apart and needs at least 2 among the training "
            f"tiles, but {store.path} has {len(present)} ({names}); use evaluation.extractor "
            "'efficientnet-lite0' for this store"
        )
    check_tiles_differ(store, training, "training tiles that evaluation.extractor 'domain-cnn' would learn from")


def _check_lite0(store: TileStore, config: EvaluationConfig) -> None:
    if store.channels not in (1, 3):
        raise EvaluationError(
            f"evaluation.extractor 'efficientnet-lite0' takes tiles of 1 or 3 channels, but {store.path} has "
            f"{store.channels}; use evaluation.extractor 'domain-cnn' for this store"
        )
    try:
        check_lite0()
    except PretrainedError as error:
        raise EvaluationError(f"evaluation.extractor 'efficientnet-lite0': {error}") from None
    what = "training tiles whose features evaluation.extractor 'efficientnet-lite0' would centre and scale by"
    check_tiles_differ(store, store.indices("train"), what)


def _check_inception(store: TileStore, config: EvaluationConfig) -> None:
    from fedray.evaluation.extractors.inception import check_inception

    check_inception(store, config)


def _check_from_file(store: TileStore, config: EvaluationConfig) -> None:
    _module_of(config).check(store, config)


_CHECKS: dict[str, Callable[[TileStore, EvaluationConfig], None]] = {
    "efficientnet-lite0": _check_lite0,
    "domain-cnn": _check_domain_cnn,
    "inception-v3-compat": _check_inception,
    "timm": _check_from_file,
    "pt2": _check_from_file,
    "torchscript": _check_from_file,
}


def check_extractor(store: TileStore, config: EvaluationConfig) -> None:
    """Refuse an extractor that cannot work on a store, or lacks its weights; trains and downloads nothing.

    Raises:
        EvaluationError: The message names the rule, what was found and the remedy.
    """
    _CHECKS[config.extractor_kind](store, config)


__all__ = [
    "EXTRACTORS",
    "Extractor",
    "ExtractorQuality",
    "check_extractor",
    "described_protocol",
    "extractor_name",
    "load_extractor",
    "settled_extractor",
]
