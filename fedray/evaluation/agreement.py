"""Do two extractors rank generators alike? Kendall's tau of their scores, with an interval over the generators."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau

from fedray.randomness import stream

FEWEST = 4
"""Generators below which an order says nothing, and the interval was not tried out."""
RESAMPLED = 2000
"""Times that generators are drawn anew, with replacement."""
LEVEL = 0.95


class Agreement(NamedTuple):
    """How far two rankings of the same generators agree."""

    tau: float
    """Kendall's tau-b: 1 for the same order, 0 for none in common, -1 for the reverse; NaN where all are equal."""
    low: float
    """Lower end of its interval of 95 %."""
    high: float
    """Upper end."""


def agreement(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Agreement:
    """Compare two scores of the same generators by the order in which they put them.

    The interval is a bootstrap over generators (percentiles of tau-b of generators drawn with replacement, of which a
    pair that is one generator twice counts as a tie): what other generators of the same kind may show. One more is
    among those that are drawn, of which no pair agrees or disagrees: without it, five in the same order would be
    certain of every other's.

    Args:
        first: [n], n >= 4; which direction is better must be the same in both.
        second: [n], in the same order of generators.
        seed: Of the resampling.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    assert a.shape == b.shape and len(a) >= FEWEST, "an order needs four of them"
    tau = float(kendalltau(a, b).statistic)
    taus = _resampled(a, b, stream(seed, "agreement"))
    if not np.isfinite(tau) or not len(taus):
        return Agreement(tau, np.nan, np.nan)
    low, high = np.quantile(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Agreement(tau, float(low), float(high))


def _resampled(a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Tau-b of resampled generators, [RESAMPLED] at the most: a resample of which all are equal has none."""
    signs = [np.sign(values[:, None] - values) for values in (a, b)]
    agrees, *differs = (np.pad(matrix, (0, 1)) for matrix in (signs[0] * signs[1], *map(np.abs, signs)))
    for matrix in differs:  # the one more
        matrix[-1, :-1] = matrix[:-1, -1] = 1.0
    weights = rng.multinomial(len(a) + 1, np.full(len(a) + 1, 1 / (len(a) + 1)), RESAMPLED).astype(np.float64)

    def over_pairs(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = np.einsum("ri,ij,rj->r", weights, matrix, weights, optimize=True)
        return summed

    untied, found = over_pairs(differs[0]) * over_pairs(differs[1]), over_pairs(agrees)
    return found[untied > 0] / np.sqrt(untied[untied > 0])
