"""How many clients a worker gets at once: so many that calls cost little, so few that all workers end together."""

from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter

from .delivery import Delivery

MIN_LOT_S = 0.04  # a call costs a millisecond or two


class Estimates:
    """How long clients take: the shorter of the last two times, because what disturbs a measurement makes it longer."""

    def __init__(self) -> None:
        """Know nothing."""
        self._last: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._total = 0.0

    def note(self, node_id: int, seconds: float) -> None:
        """Take in a measured time."""
        estimate = min(seconds, self._last.get(node_id, seconds))
        self._total += estimate - self._seconds.get(node_id, 0.0)
        self._seconds[node_id], self._last[node_id] = estimate, seconds

    def longest_first(self, deliveries: Iterable[Delivery]) -> deque[Delivery]:
        """Estimate deliveries and sort them: the last clients to run should be short ones.

        One that has not run is expected to take as long as the others do on average.
        """
        mean = self._total / len(self._seconds) if self._seconds else 0.0
        estimated = list(deliveries)
        for delivery in estimated:
            delivery.estimate_s = self._seconds.get(delivery.node_id, mean)
        return deque(sorted(estimated, key=attrgetter("estimate_s"), reverse=True))


def take_lot(
    pending: deque[Delivery], num_workers: int, all_s: float, at_home: Callable[[Delivery], bool] | None = None
) -> list[Delivery]:
    """Take the next clients for one of ``num_workers`` workers off ``pending``, from its front.

    A lot is half of the worker's fair share of what is left, so that there is something to balance with, but at least
    :data:`MIN_LOT_S` of work, unless the worker's fair share of the whole is less.

    Args:
        pending: Clients that wait, the longest first.
        num_workers: Among how many workers they are shared.
        all_s: Estimate for all clients, those that do not wait any more included.
        at_home: Tells clients that had better run on this worker.
    """
    if not pending:
        return []
    left_s = sum(delivery.estimate_s for delivery in pending)
    if left_s > 0:
        goal_s = max(left_s / (2 * num_workers), min(all_s / num_workers, MIN_LOT_S))
        goal_s = left_s if left_s < 1.1 * goal_s else goal_s  # no call for a few that rounding left over
    else:  # nothing is known: small lots first
        goal_s = -(-len(pending) // (4 * num_workers))
    lot: list[Delivery] = []
    spent_s = 0.0
    candidates = [delivery for delivery in pending if at_home is None or at_home(delivery)] or pending
    for delivery in candidates:
        each_s = delivery.estimate_s if left_s > 0 else 1.0
        if lot and spent_s + each_s / 2 > goal_s:
            break
        spent_s += each_s
        lot.append(delivery)
    _remove(lot, pending)
    return lot


def _remove(lot: list[Delivery], pending: deque[Delivery]) -> None:
    """Take the members of a lot, which are in the order of ``pending``, out of it."""
    others = []
    for delivery in lot:
        while (first := pending.popleft()) is not delivery:
            others.append(first)
    pending.extendleft(reversed(others))
