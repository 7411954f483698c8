"""Scores of generated tiles: FID and KID by torch-fidelity, against real tiles measured once per store."""

from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.evaluator import Evaluator, cached_evaluator
from fedray.evaluation.extractors import (
    EXTRACTORS,
    Extractor,
    ExtractorQuality,
    check_extractor,
    described_protocol,
    extractor_name,
    settled_extractor,
)
from fedray.evaluation.metrics import Scores, interval_names, is_of_all_tiles, whole_of
from fedray.evaluation.missing import why_no_score
from fedray.evaluation.modes import mode_of, range_of
from fedray.evaluation.reference import check_compared, compared_indices, score_names
from fedray.evaluation.self_testing import SelfTest

__all__ = [
    "EXTRACTORS",
    "EvaluationError",
    "Evaluator",
    "Extractor",
    "ExtractorQuality",
    "Scores",
    "SelfTest",
    "cached_evaluator",
    "check_compared",
    "check_extractor",
    "compared_indices",
    "described_protocol",
    "extractor_name",
    "interval_names",
    "is_of_all_tiles",
    "mode_of",
    "range_of",
    "score_names",
    "settled_extractor",
    "whole_of",
    "why_no_score",
]
