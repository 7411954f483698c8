"""Means that a wave's workers hold: who is in them, and how they get to the driver."""

from collections.abc import Callable
from typing import Any

from ray.exceptions import RayTaskError

from ..workers.jobs import WorkerSlot
from .delivery import Delivery
from .ledger import Ledger

Ask = Callable[[WorkerSlot, list[Any], Callable[[list[Any] | BaseException], None]], None]


class HeldMeans:
    """One mean a worker at a time. Used on the dispatcher's thread."""

    def __init__(self, wave_id: str, ledger: Ledger) -> None:
        """Hold nothing.

        Args:
            wave_id: What the workers know their means by.
            ledger: Of the wave's messages.
        """
        self._wave_id, self._ledger = wave_id, ledger
        self._members: dict[WorkerSlot, list[Delivery]] = {}
        self._fetched: set[WorkerSlot] = set()

    @property
    def holders(self) -> list[WorkerSlot]:
        """The workers that hold one which is not on its way."""
        return list(self._members)

    def is_fetched(self, slot: WorkerSlot) -> bool:
        """Whether a worker's mean is on its way: nothing may be added to it."""
        return slot in self._fetched

    def add(self, slot: WorkerSlot, members: list[Delivery]) -> None:
        """Note who is in a worker's mean, too."""
        self._members.setdefault(slot, []).extend(members)

    def fetch(self, slot: WorkerSlot, ask: Ask) -> None:
        """Have a worker's mean sent. ``ask`` has a function called with its answer, or with what went wrong."""
        members = self._members.pop(slot)
        self._fetched.add(slot)

        def arrived(answer: list[Any] | BaseException) -> None:
            self._fetched.discard(slot)
            if isinstance(answer, RayTaskError):
                self._ledger.fail(members, answer)
            elif isinstance(answer, BaseException):
                self._ledger.run_again(members)
            else:
                self._ledger.finish_merged(members, answer[0])

        mean, _ = slot.actor.take_mean.options(num_returns=2).remote(self._wave_id)
        ask(slot, [mean], arrived)

    def lose(self, slot: WorkerSlot) -> None:
        """Run those again that were in the mean of a worker that is gone."""
        self._ledger.run_again(self._members.pop(slot, []))

    def drop(self) -> None:
        """Have the workers forget their means."""
        for slot in self._members:
            slot.actor.forget.remote(self._wave_id)
        self._members.clear()
