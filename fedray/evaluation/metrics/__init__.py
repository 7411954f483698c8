"""The metrics: to add one, write a subclass of ``Metric`` and add its line here."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.base import Metric, Mode, Sample, Scores
from fedray.evaluation.metrics.c2st import C2st
from fedray.evaluation.metrics.distances import Fid, Kid
from fedray.evaluation.metrics.manifold import Diversity
from fedray.evaluation.texture import TEXTURE

METRICS: tuple[type[Metric], ...] = (Fid, Kid, Diversity, C2st)
"""Those computed in the extractor's features, in the order in which scores are listed."""
TEXTURE_METRICS: tuple[type[Metric], ...] = (C2st,)
"""Those computed in the hand-made statistics; their scores are listed first of their kind."""


def mode_of(name: str) -> Mode | None:
    """Say which values of a score are good; None: the name is no score, or the end of a score's interval."""
    kind = name.partition("/")[0]
    return next((metric.kinds[kind] for metric in METRICS if kind in metric.kinds), None)


def interval_names(name: str) -> tuple[str, str]:
    """Name the ends of a score's interval; a score without one has none of these names among its values."""
    kind, slash, rest = name.partition("/")
    return f"{kind}-low{slash}{rest}", f"{kind}-high{slash}{rest}"


def score_names_for(extractor: str, labels: NDArray[np.int64], label_names: Sequence[str]) -> list[str]:
    """Name the scores of a comparison with real tiles that carry these labels, int64 [n]; nothing is computed."""
    return [name for metric in metrics_of(extractor, label_names) for name in metric.names(labels)]


def compare(
    extractor: str, label_names: Sequence[str], real: Mapping[str, Sample], fake: Mapping[str, Sample]
) -> Scores:
    """Compute all scores of a generated set against the real one; the order of tiles has no meaning.

    Args:
        extractor: Name of the extractor.
        label_names: Names of the labels, by label.
        real: The real tiles, by name of the features: the extractor's, and ``texture``.
        fake: The generated ones: as many, and as many of each label.

    Returns:
        The scores, keys as :func:`score_names_for` lists them.
    """
    scores: Scores = {}
    for metric in metrics_of(extractor, label_names):
        scores |= metric.values(real[metric.features], fake[metric.features])
    return scores


def metrics_of(extractor: str, label_names: Sequence[str]) -> list[Metric]:
    """Make the metrics of a comparison, in the order in which scores are listed."""
    metrics = []
    for metric in METRICS:
        if metric in TEXTURE_METRICS:
            metrics.append(metric(TEXTURE, label_names))
        metrics.append(metric(extractor, label_names))
    return metrics


__all__ = ["METRICS", "Metric", "Mode", "Sample", "Scores", "compare", "interval_names", "metrics_of", "mode_of",
           "score_names_for"]  # fmt: skip
