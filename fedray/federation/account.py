"""The account of differential privacy: every release of noisy means, counted before it is made."""

import math
from collections import Counter
from collections.abc import Callable, Iterable

from flwr.serverapp import GaussianPrivacyEvent, NeighboringRelation, RdpAccountant, SamplingMethod
from flwr.serverapp import PrivacyConfig as AccountConfig

Releases = Counter[float]
"""Number of releases by their noise multiplier; 0 stands for a release without noise."""


class Account:
    """What an experiment has released until now.

    A round counts as a release before its messages leave: one that fails, or is run again after a restart, has been
    counted whether or not its mean was seen.
    """

    def __init__(self, earlier: Releases | None = None, keep: Callable[[Releases], None] = lambda own: None) -> None:
        """Go on with what earlier processes released.

        Args:
            earlier: What they released.
            keep: Is given what this process released, before each of its releases; returns when that is kept.
        """
        self._earlier, self._own, self._keep = earlier or Releases(), Releases(), keep

    @property
    def releases(self) -> Releases:
        """All releases until now."""
        return self._earlier + self._own

    def count(self, noise_multiplier: float) -> None:
        """Count a release that is about to be made.

        Args:
            noise_multiplier: Standard deviation of its noise in clipping norms, >= 0.
        """
        self._own[noise_multiplier] += 1
        self._keep(self._own)

    def count_at_least(self, noise_multiplier: float, num_releases: int) -> None:
        """Count what must have been released already, where it is not: a checkpoint whose account was lost."""
        missing = num_releases - self.releases.total()
        if missing > 0:
            self._own[noise_multiplier] += missing
            self._keep(self._own)

    def epsilon(self, delta: float) -> float:
        """Return the privacy spent until now. Arguments and result as in :func:`epsilon_of`."""
        return epsilon_of([self.releases], delta)


def epsilon_of(releases: Iterable[Releases], delta: float) -> float:
    """Compose Gaussian releases (Renyi differential privacy, Mironov 2017), all of them about the same clients.

    Neighbours differ in one client, added or removed. Sampling is not counted in favour: which clients take part can be
    told from the seed.

    Args:
        releases: Of one or several experiments.
        delta: In (0, 1).

    Returns:
        Epsilon; 0 without a release, infinite with one that had no noise.
    """
    account = RdpAccountant(
        AccountConfig(
            target_delta=delta,
            population_size=1,  # of no effect without amplification by sampling
            neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE,
            sampling_method=SamplingMethod.NO_AMPLIFICATION,
        )
    )
    total = sum(releases, Releases())
    if not total:
        return 0.0
    if total[0.0]:
        return math.inf
    for noise_multiplier, number in total.items():
        account.compose(GaussianPrivacyEvent(noise_multiplier, sample_size=1, population_size=1), number)
    return account.get_epsilon(delta)
