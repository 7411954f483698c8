"""How far real tiles' own scores scatter, and what a destruction adds to the score of the very tiles that it destroys.

Two questions, two intervals. *Would n other real tiles score as much?* asks whether a generator with such a fault, and
no other, were told from real tiles. *Does the score rise at all?* asks whether it sees the fault: the destroyed tiles
are compared with themselves, so that it does not matter how far real tiles differ from each other.

The reference stays as it is, for it is the same in every comparison; what scatters is which n tiles stand in the
generator's place. They are drawn by label from many tiles of the same slides or patients, so tiles within a label are
exchangeable, though patients of two splits are not: the interval says what another draw from the same patients would
score, and its centre, the floor, holds the difference between the splits.

The standard error is a jackknife's that leaves out groups of tiles; on average it is no less than the true one (Efron
and Stein 1981). A bootstrap would repeat tiles, which both distances rightly take for collapse: of 64 tiles with 200
Gaussian features the standard error was 2.2 times the true one, centred though it was, and the jackknife's 1.1 times.
Floor and new draw both scatter, so the first interval is that of a prediction, sqrt(2) wider than that of a mean. The
second is that of a mean: of the difference of both scores, from which the same tiles are left out each time. Where the
floor is the mean of several draws, which share no tile, their variances add up.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid

LEVEL = 0.95
"""Share of draws of tiles in which an interval holds what it is of."""
MAX_GROUPS = 32
"""Groups that are left out in turn; each has as much of every label as the others."""

FEWEST_GROUPS = 4
"""With fewer there is no saying how much tiles scatter."""

Interval = tuple[float, float]
LeaveOut = Callable[[Sample, Sample, Sequence[NDArray[np.int64]]], NDArray[np.float64]]
"""Scores of the second sample against the first, without one group of its tiles after another."""


class Destroyed(NamedTuple):
    """Real tiles, destroyed, in their places."""

    sample: Sample
    origins: NDArray[np.int64]
    """Place among the undestroyed tiles of the one that each was made from, [n]; they are left out together."""


class LeftOut:
    """What one draw of real tiles scores without one group of them after another."""

    def __init__(self, real: Sample, other: Sample, leave_out: LeaveOut, rng: np.random.Generator) -> None:
        """Leave out every group once.

        Args:
            real: The reference.
            other: As many other real tiles.
            leave_out: The score, one of :data:`LEAVE_OUT`.
            rng: Deals the tiles to groups.
        """
        self._real, self._leave_out = real, leave_out
        groups = even_groups(other.labels, rng)
        self._groups = groups if len(groups) >= FEWEST_GROUPS else []
        self.left = leave_out(real, other, self._groups)
        """The score without each group, float64 [group]."""

    def risen(self, destroyed: Sequence[Destroyed]) -> NDArray[np.float64]:
        """Say what a destruction adds to the score without each group.

        Args:
            destroyed: The other tiles, destroyed once, or several times where chance has much to say.

        Returns:
            float64 [group], without the groups of which nearly all destroyed tiles were made.
        """
        left = np.mean([self._without_made_from(one) for one in destroyed], axis=0)
        usable = np.isfinite(left)
        risen: NDArray[np.float64] = left[usable] - self.left[usable]
        return risen

    def _without_made_from(self, destroyed: Destroyed) -> NDArray[np.float64]:
        """Score a destroyed set without what was made from each group; NaN where nearly all of it was."""
        made_from = [np.flatnonzero(np.isin(destroyed.origins, group)) for group in self._groups]
        usable = [place for place, made in enumerate(made_from) if len(made) <= len(destroyed.sample) - 2]
        left = np.full(len(self._groups), np.nan)
        left[usable] = self._leave_out(self._real, destroyed.sample, [made_from[place] for place in usable])
        return left


def mean_interval(mean: float, draws: Sequence[NDArray[np.float64]]) -> Interval:
    """Say within which bounds a mean over draws of tiles is, on average over other such draws, 95 times of 100.

    Args:
        mean: The mean over the draws.
        draws: What each draw's part is without each group, float64 [group].

    Returns:
        Lower and upper bound; without bounds where fewer than four tiles say nothing about scatter.
    """
    return _around(mean, draws, 1 / len(draws))


def new_draw_interval(mean: float, draws: Sequence[NDArray[np.float64]]) -> Interval:
    """Say within which bounds one more draw of as many tiles would score, 95 times of 100; as :func:`mean_interval`."""
    return _around(mean, draws, 1 + 1 / len(draws))


def _around(value: float, draws: Sequence[NDArray[np.float64]], share: float) -> Interval:
    """Put an interval around a value: so much of one draw's variance, the mean of the jackknife's over the draws."""
    from scipy.stats import t

    if min(len(left) for left in draws) < FEWEST_GROUPS:
        return -np.inf, np.inf
    variance = np.mean([(len(left) - 1) * left.var() for left in draws])
    freedom = sum(len(left) - 1 for left in draws)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(share * variance))
    return value - reach, value + reach


def even_groups(labels: NDArray[np.int64], rng: np.random.Generator, most: int = MAX_GROUPS) -> list[NDArray[np.int64]]:
    """Deal tiles to at most so many groups, each label as evenly as can be."""
    dealt = np.lexsort((rng.random(len(labels)), labels))  # neighbours of a slide dealt in turn would look too alike
    num = min(most, len(labels))
    return [dealt[start::num] for start in range(num)]


def fid_leaving_out(real: Sample, other: Sample, groups: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Fréchet distances, one for each group left out."""
    return np.array([fid(real, _without(other, group)) for group in groups])


def kid_leaving_out(real: Sample, other: Sample, groups: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Kernel distances, one for each group left out: unbiased, over all pairs of tiles."""
    x, y = real.features.astype(np.float64), other.features.astype(np.float64)
    within, across = _kernel(y, y), _kernel(x, y).mean(0)
    np.fill_diagonal(within, 0.0)
    of_real = _kernel(x, x)
    real_part = (of_real.sum() - np.trace(of_real)) / (len(x) * (len(x) - 1))
    found = []
    for group in groups:
        kept = np.delete(np.arange(len(y)), group)
        pairs = within[np.ix_(kept, kept)].sum() / (len(kept) * (len(kept) - 1))
        found.append(real_part + pairs - 2 * across[kept].mean())
    return np.array(found)


LEAVE_OUT: dict[str, LeaveOut] = {"fid": fid_leaving_out, "kid": kid_leaving_out}
"""By the kind of score that its name begins with."""


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _without(sample: Sample, group: NDArray[np.int64]) -> Sample:
    return Sample(np.delete(sample.features, group, axis=0), np.delete(sample.labels, group))
