"""How many clients a worker gets at once: so many that calls cost little, so few that all workers end together."""

from collections import deque
from collections.abc import Callable, Iterable

from .delivery import Delivery

MIN_LOT_S = 0.02  # a call costs about a millisecond


class Estimates:
    """How long clients take, from how long they took."""

    def __init__(self) -> None:
        """Know nothing."""
        self._seconds: dict[int, float] = {}
        self._total = 0.0

    def note(self, delivery: Delivery, seconds: float) -> None:
        """Take in a measured time."""
        before = self._seconds.get(delivery.node_id)
        now = seconds if before is None else (before + seconds) / 2
        self._seconds[delivery.node_id] = now
        self._total += now - (before or 0.0)

    def of(self, delivery: Delivery) -> float:
        """Return the expected seconds of a client: the mean of all for one that has not run, 0 if none has."""
        if (seconds := self._seconds.get(delivery.node_id)) is not None:
            return seconds
        return self._total / len(self._seconds) if self._seconds else 0.0

    def longest_first(self, deliveries: Iterable[Delivery]) -> deque[Delivery]:
        """Sort: the last clients to run should be short ones."""
        return deque(sorted(deliveries, key=self.of, reverse=True))


def take_lot(
    pending: deque[Delivery],
    estimates: Estimates,
    num_idle: int,
    num_workers: int,
    at_home: Callable[[Delivery], bool],
) -> list[Delivery]:
    """Take the next clients for one of ``num_idle`` idle workers off ``pending``, from its front.

    A lot is half of a worker's fair share of what is left, at least :data:`MIN_LOT_S` of work, and never so much that
    another idle worker would get less. Clients that are ``at_home`` with the worker come first.
    """
    if not pending:
        return []
    candidates = [delivery for delivery in pending if at_home(delivery)] or list(pending)
    total_s = sum(map(estimates.of, pending))
    if total_s > 0:
        goal_s = min(total_s / num_idle, max(total_s / (2 * num_workers), MIN_LOT_S))
        size = _count_within(goal_s, map(estimates.of, candidates))
    else:  # nothing is known: small lots first
        size = -(-len(pending) // (4 * num_workers))
    lot = candidates[: max(1, size)]
    if len(candidates) == len(pending):
        for _ in lot:
            pending.popleft()
    else:
        chosen = set(map(id, lot))
        kept = [delivery for delivery in pending if id(delivery) not in chosen]
        pending.clear()
        pending.extend(kept)
    return lot


def _count_within(goal_s: float, seconds: Iterable[float]) -> int:
    """How many of the first fit into the goal, the last one by half at least."""
    spent = 0.0
    for count, each in enumerate(seconds):
        if spent + each / 2 > goal_s:
            return count
        spent += each
    return count + 1
