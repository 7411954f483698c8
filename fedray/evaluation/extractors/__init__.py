"""The feature extractors by the name under which ``evaluation.extractor`` chooses them."""

from collections.abc import Callable

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.extractors.base import Extractor, ExtractorQuality

# Their modules are imported when one is loaded: torch-fidelity takes seconds, and most processes evaluate nothing.


def _domain_cnn(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.domain_cnn_training import load_domain_cnn

    return load_domain_cnn(store, config)


def _inception(store: TileStore, config: EvaluationConfig) -> Extractor:
    from fedray.evaluation.extractors.inception import load_inception

    return load_inception(store, config)


EXTRACTORS: dict[str, Callable[[TileStore, EvaluationConfig], Extractor]] = {
    "domain-cnn": _domain_cnn,
    "inception-v3-compat": _inception,
}

__all__ = ["EXTRACTORS", "Extractor", "ExtractorQuality"]
