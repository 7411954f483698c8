"""Means over seeds with intervals, and differences of paired runs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean over seeds."""

    mean: float
    low: float
    """End of the interval; NaN of a single seed, which says nothing of another."""
    high: float
    num: int
    """Seeds."""

    def within(self, least: float, most: float) -> "Estimate":
        """Cut the interval where no value can be: Student's knows no ends, and few seeds make it long."""
        low, high = (min(max(end, least), most) for end in (self.low, self.high))  # NaN stays
        return self._replace(low=low, high=high)

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 is outside the interval: the rule by which a difference is called shown."""
        return bool(self.low > 0 or self.high < 0)  # False where there is no interval


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean and Student's interval of 95 % for it: mean -+ t(n - 1) s / sqrt(n).

    Args:
        values: One a seed, at least one.
    """
    found = np.asarray(values, np.float64)
    mean, num = float(found.mean()), len(found)
    if num < 2:
        return Estimate(mean, float("nan"), float("nan"), num)
    from scipy.stats import t  # here: half a second

    half = float(t.ppf((1 + CONFIDENCE) / 2, num - 1) * found.std(ddof=1) / np.sqrt(num))
    return Estimate(mean, mean - half, mean + half, num)


def difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate | None:
    """Return the mean difference of runs with equal seeds, and its interval as of :func:`estimate`.

    Args:
        values: By seed.
        baseline: By seed.

    Returns:
        None where no seed has both.
    """
    paired = [values[seed] - baseline[seed] for seed in values if seed in baseline]
    return estimate(paired) if paired else None
