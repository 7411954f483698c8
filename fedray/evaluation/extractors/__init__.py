"""The feature extractors by the name under which ``evaluation.extractor`` chooses them."""

from collections.abc import Callable

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.extractors.base import Extractor, ExtractorQuality
from fedray.evaluation.extractors.domain_cnn_training import load_domain_cnn
from fedray.evaluation.extractors.inception import load_inception

EXTRACTORS: dict[str, Callable[[TileStore, EvaluationConfig], Extractor]] = {
    "domain-cnn": load_domain_cnn,
    "inception-v3-compat": load_inception,
}

__all__ = ["EXTRACTORS", "Extractor", "ExtractorQuality"]
