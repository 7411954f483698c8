"""Second copies of clients' states on other nodes, so that a lost node costs no state."""

import weakref
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .crew import WorkerSlot
from .delivery import StateRef
from .dispatch import Dispatcher


class Replicas:
    """Has a worker on another node hold what was made on a node that may be lost, on the dispatcher's thread.

    The driver's own node needs no copies: if that is lost, all is over. Ray finds a copy by itself.
    """

    def __init__(self, dispatcher: Dispatcher, driver_node: str) -> None:
        """Hold nothing.

        Args:
            dispatcher: Of the workers.
            driver_node: Id of the Ray node that the driver is on.
        """
        self._dispatcher, self._driver_node = dispatcher, driver_node
        self._uses: dict[Any, int] = {}  # clients by parcel
        self._nodes: dict[Any, str] = {}  # where each parcel was made
        self._holders: dict[Any, WorkerSlot] = {}
        dispatcher.tell_of_lost_workers(weakref.WeakMethod(self._worker_lost))

    def update(self, new: Iterable[StateRef], old: Iterable[StateRef]) -> None:
        """Keep the states that clients have now, and let go those that they had before."""
        wanted: list[Any] = []
        for state in new:
            if state.ray_node != self._driver_node:
                if state.parcel not in self._uses:
                    wanted.append(state.parcel)
                    self._nodes[state.parcel] = state.ray_node
                self._uses[state.parcel] = self._uses.get(state.parcel, 0) + 1
        released: dict[WorkerSlot, list[str]] = defaultdict(list)
        for state in old:
            if state.parcel in self._uses:
                self._uses[state.parcel] -= 1
                if self._uses[state.parcel] == 0:
                    del self._uses[state.parcel], self._nodes[state.parcel]
                    if (holder := self._holders.pop(state.parcel, None)) is not None:
                        released[holder].append(state.parcel.hex())
        self._hold(wanted, released)

    def _hold(self, parcels: list[Any], released: dict[WorkerSlot, list[str]]) -> None:
        held: dict[WorkerSlot, list[Any]] = defaultdict(list)
        for parcel in parcels:
            holder = self._dispatcher.elsewhere(self._nodes[parcel])
            if holder is not None:
                self._holders[parcel] = holder
                held[holder].append(parcel)
        for slot in {*held, *released}:
            slot.actor.hold.remote(held.get(slot, []), released.get(slot, []))

    def _worker_lost(self, slot: WorkerSlot) -> None:
        orphans = [parcel for parcel, holder in self._holders.items() if holder is slot]
        for parcel in orphans:
            del self._holders[parcel]
        self._hold(orphans, {})
