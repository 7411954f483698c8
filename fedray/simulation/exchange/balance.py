"""How many clients a worker gets at once, and which.

Each idle worker gets its share of what is left: calls cost little then, and what was shared out badly is taken back
from the busy ones later.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter

from ..workers.jobs import WorkerSlot
from .delivery import Delivery


class Estimates:
    """How long clients take: the shorter of the last two times, because what disturbs a measurement makes it longer."""

    def __init__(self) -> None:
        """Know nothing."""
        self._last: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._total = 0.0
        self._homes: dict[int, WorkerSlot] = {}

    def note(self, node_id: int, seconds: float, slot: WorkerSlot) -> None:
        """Take in a measured time, and where it was."""
        estimate = min(seconds, self._last.get(node_id, seconds))
        self._total += estimate - self._seconds.get(node_id, 0.0)
        self._seconds[node_id], self._last[node_id] = estimate, seconds
        self._homes[node_id] = slot

    def was_on(self, node_id: int, slot: WorkerSlot) -> bool:
        """Whether a worker ran this client last: it may still have the client's data."""
        return self._homes.get(node_id) is slot

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
    pending: deque[Delivery], num_idle: int, limit_s: float, distance: Callable[[Delivery], int]
) -> list[Delivery]:
    """Take the next clients for one of ``num_idle`` idle workers off ``pending``.

    Args:
        pending: Clients that wait, the longest first.
        num_idle: Among how many workers they are shared.
        limit_s: How long a lot may take, by the estimates; clients of which nothing is known are taken one by one then.
        distance: How far a client is from this worker; near ones come first.
    """
    if not pending:
        return []
    left_s = sum(delivery.estimate_s for delivery in pending)
    known = left_s > 0
    share = (left_s if known else len(pending)) / num_idle
    goal = min(share, limit_s) if known or math.isinf(limit_s) else 1.0
    lot: list[Delivery] = []
    spent = 0.0
    for delivery in sorted(pending, key=distance):
        each = delivery.estimate_s if known else 1.0
        if lot and spent + each / 2 > goal:
            break
        spent += each
        lot.append(delivery)
    _remove(lot, pending)
    return lot


def _remove(lot: list[Delivery], pending: deque[Delivery]) -> None:
    if len(lot) == len(pending):
        pending.clear()
        return
    gone = set(map(id, lot))
    kept = [delivery for delivery in pending if id(delivery) not in gone]
    pending.clear()
    pending.extend(kept)
