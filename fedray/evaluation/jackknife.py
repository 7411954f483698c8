"""In which bounds a score lies, as far as its tiles say, real and generated: for the last judgement of a generator.

Which tiles are compared is chance. The interval says what the score would be, on average over draws of as many of
either set. So it is about the score of n tiles, with the bias that n has (of FID above all), and it takes tiles for
independent, as those of one slide or patient are not.

It is a jackknife: one group of tiles after another is left out, of the real and of the generated ones at a time, and
the score computed again. To first order a score is a sum over the tiles of either set, so what both groups do to it
scatters as both sets together. A bootstrap would repeat tiles, which the scores rightly take for collapse
(:mod:`fedray.evaluation.intervals` has numbers). It takes as long as twenty evaluations, so rounds do without.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.intervals import FEWEST_GROUPS, LEVEL, even_groups
from fedray.evaluation.metrics import Metric, Sample, Scores, interval_names
from fedray.evaluation.metrics.shares import wilson
from fedray.randomness import stream

NUM_GROUPS = 20
"""Groups that are left out in turn."""


def intervals_of(metrics: Sequence[Metric], real: Mapping[str, Sample], fake: Mapping[str, Sample]) -> Scores:
    """Compute the ends of the intervals of 95 % of all scores that have none of their own.

    Args:
        metrics: Which scores.
        real: The real tiles, by name of the features.
        fake: The generated ones, compared as by :func:`fedray.evaluation.metrics.compare`.

    Returns:
        Two for each score, by the names that :func:`fedray.evaluation.metrics.interval_names` gives; none where tiles
        are too few to leave out a group of them.
    """
    ends: Scores = {}
    for metric in metrics:
        kinds = [kind for kind, mode in metric.kinds.items() if mode is not None and _has_none(kind, metric)]
        if not kinds:
            continue
        n = len(real[metric.features])
        for part, (of_real, of_fake) in metric.parts(real[metric.features], fake[metric.features]):
            left = np.array([metric.measure(*rest) for rest in _leaving_out(metric, of_real, of_fake)])
            if len(left) < FEWEST_GROUPS:
                continue
            found = metric.named(n, part, metric.measure(of_real, of_fake))
            for name, without in zip(found, left.T, strict=True):
                if (kind := name.partition("/")[0]) in kinds:
                    low, high = _interval(found[name], without, kind in metric.shares, len(of_real))
                    ends |= zip(interval_names(name), (max(metric.least, low), high), strict=True)
    return ends


def _has_none(kind: str, metric: Metric) -> bool:
    return not set(interval_names(kind)) & metric.kinds.keys()


def _leaving_out(metric: Metric, real: Sample, fake: Sample) -> Iterator[tuple[Sample, Sample]]:
    """Both sets without one pair of groups after another; nothing where too few tiles would be left."""
    rng = stream(0, "evaluation", "jackknife")
    groups = [even_groups(sample.labels, rng, NUM_GROUPS) for sample in (real, fake)]
    if len(real) - max(map(len, groups[0]), default=0) < metric.min_tiles:
        return
    for pair in zip(*groups, strict=True):
        yield _without(real, pair[0]), _without(fake, pair[1])


def _without(sample: Sample, group: NDArray[np.int64]) -> Sample:
    return sample.take(np.delete(np.arange(len(sample)), group))


def _interval(value: float, left: NDArray[np.float64], is_share: bool, num: int) -> tuple[float, float]:
    """Put an interval around a value, from what it is without each group."""
    from scipy.stats import t  # here: most processes judge nothing

    variance = (len(left) - 1) * float(left.var())
    quantile = float(t.ppf((1 + LEVEL) / 2, len(left) - 1))
    if not is_share:
        reach = quantile * np.sqrt(variance)
        return float(value - reach), float(value + reach)
    alone = value * (1 - value)  # of one tile, if all were independent
    return wilson(value, quantile**2 * (variance / alone if alone and variance else 1 / num))
