"""The metrics: to add one, write a subclass of ``Metric`` and add its line here."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.base import Metric, Mode, Part, Sample, Scores, is_of_all_tiles, whole_of
from fedray.evaluation.metrics.c2st import C2st
from fedray.evaluation.metrics.distances import Fid, Kid
from fedray.evaluation.metrics.manifold import FidelityAndDiversity
from fedray.evaluation.metrics.transport import Sliced, StatisticsDistance
from fedray.evaluation.texture import TEXTURE

METRICS: tuple[type[Metric], ...] = (Fid, Kid, Sliced, FidelityAndDiversity, C2st)
"""Those computed in the extractor's features, in the order in which scores are listed."""
TEXTURE_METRICS: tuple[type[Metric], ...] = (C2st, StatisticsDistance)
"""Those computed in the hand-made statistics. What is in both is listed with the statistics first; what is here alone,
last."""


def mode_of(name: str) -> Mode | None:
    """Say which values of a score are good; None: the name is no score, or the end of a score's interval."""
    kind = name.partition("/")[0]
    return next((metric.kinds[kind] for metric in registered() if kind in metric.kinds), None)


def range_of(name: str) -> tuple[float, float]:
    """Say which values a score can have at all; any, where the name is no score."""
    kind = name.partition("/")[0]
    ranges = ((each.least, 1.0 if kind in each.shares else each.most) for each in registered() if kind in each.kinds)
    return next(ranges, (-np.inf, np.inf))


def interval_names(name: str) -> tuple[str, str]:
    """Name the ends of a score's interval; a score without one has none of these names among its values."""
    kind, slash, rest = name.partition("/")
    return f"{kind}-low{slash}{rest}", f"{kind}-high{slash}{rest}"


def score_names_for(
    extractor: str,
    labels: NDArray[np.int64],
    label_names: Sequence[str],
    domains: NDArray[np.int64] | None = None,
    domain_names: Sequence[str] = (),
) -> list[str]:
    """Name the scores of a comparison with real tiles of these labels and domains, int64 [n]; nothing is computed."""
    metrics = metrics_of(extractor, label_names, domain_names)
    return [name for metric in metrics for name in metric.names(labels, domains)]


def compare(
    extractor: str,
    label_names: Sequence[str],
    real: Mapping[str, Sample],
    fake: Mapping[str, Sample],
    domain_names: Sequence[str] = (),
) -> Scores:
    """Compute all scores of a generated set against the real one; the order of tiles has no meaning.

    Args:
        extractor: Name of the extractor.
        label_names: Names of the labels, by label.
        real: The real tiles, by name of the features: the extractor's, and ``texture``.
        fake: The generated ones: as many, and as many of each label; if their domains are known, of each domain, too.
        domain_names: Names of the domains, by domain.

    Returns:
        The scores, keys as :func:`score_names_for` lists them.
    """
    scores: Scores = {}
    for metric in metrics_of(extractor, label_names, domain_names):
        scores |= metric.values(real[metric.features], fake[metric.features])
    return scores


def metrics_of(extractor: str, label_names: Sequence[str], domain_names: Sequence[str] = ()) -> list[Metric]:
    """Make the metrics of a comparison, in the order in which scores are listed."""
    metrics = []
    for metric in registered():
        if metric in TEXTURE_METRICS:
            metrics.append(metric(TEXTURE, label_names, domain_names))
        if metric in METRICS:
            metrics.append(metric(extractor, label_names, domain_names))
    return metrics


def registered() -> list[type[Metric]]:
    """Return the metrics of either kind of features, in the order in which scores are listed."""
    return list(dict.fromkeys([*METRICS, *TEXTURE_METRICS]))


__all__ = ["METRICS", "Metric", "Mode", "Part", "Sample", "Scores", "compare", "interval_names", "is_of_all_tiles",
           "metrics_of", "mode_of", "range_of", "registered", "score_names_for", "whole_of"]  # fmt: skip
