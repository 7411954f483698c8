"""Second copies of clients' states on other nodes, so that a lost node costs no state."""

import weakref
from collections import defaultdict, deque
from typing import Any

from ..workers.dispatch import Dispatcher
from ..workers.jobs import WorkerSlot
from .delivery import Parcel


class Replicas:
    """Has workers on other nodes hold what was made on a node that may be lost, on the dispatcher's thread.

    The driver's own node needs no copies: if that is lost, all is over. When another one is lost, holders put what they
    have into the object store again: Ray's own search for a copy may fail, and a small one it has dropped by then.
    """

    def __init__(self, dispatcher: Dispatcher, driver_node: str) -> None:
        """Hold nothing.

        Args:
            dispatcher: Of the workers.
            driver_node: Id of the Ray node that the driver is on.
        """
        self._dispatcher, self._driver_node = dispatcher, driver_node
        self._parcels: weakref.WeakSet[Parcel] = weakref.WeakSet()  # those that should have copies
        self._dropped: deque[tuple[list[WorkerSlot], str]] = deque()  # filled by any thread that drops a parcel
        self._nodes: set[str] = set()  # those that had workers when copies were last looked after
        self._turn = 0
        dispatcher.tell_of_lost_workers(weakref.WeakMethod(self._worker_lost))

    def copy(self, parcels: list[Parcel]) -> tuple[WorkerSlot, Any] | None:
        """Have another node hold parcels that were made on one node.

        Returns:
            Who holds them, and what to wait for. None if they need no copies, or if there is no other node.
        """
        if self._dispatcher.workers_by_node().keys() != self._nodes:
            self._mend()
        if not parcels or parcels[0].ray_node == self._driver_node:
            return None
        for parcel in parcels:
            if parcel not in self._parcels:
                self._parcels.add(parcel)
                dropped = (parcel.holders, parcel.name)
                weakref.finalize(parcel, self._dropped.append, dropped).atexit = False
        return self._hold(parcels, parcels[0].ray_node)

    def bring_back(self, parcel: Parcel) -> None:
        """Go on from the copy of a parcel that is lost. One without a copy may have been brought back."""
        if parcel.holders:
            self._use_copy(parcel)
        self._mend()

    def move_here(self, parcel: Parcel, reference: Any) -> None:
        """Go on from an object on the driver's node."""
        parcel.reference, parcel.ray_node = reference, self._driver_node
        self._parcels.discard(parcel)

    def let_go(self) -> None:
        """Release the copies of parcels that nobody refers to any more."""
        released: dict[WorkerSlot, list[str]] = defaultdict(list)
        while self._dropped:
            holders, name = self._dropped.popleft()
            for holder in holders:
                released[holder].append(name)
        for holder, names in released.items():
            holder.actor.hold.remote([], names)

    def _hold(self, parcels: list[Parcel], ray_node: str) -> tuple[WorkerSlot, Any] | None:
        """Have another node hold what is on a node. Nodes and their workers take turns."""
        others = [slots for node, slots in self._dispatcher.workers_by_node().items() if node != ray_node]
        if not others:
            return None
        self._turn += 1
        slots = others[self._turn % len(others)]
        holder = slots[self._turn // len(others) % len(slots)]
        for parcel in parcels:
            parcel.holders.append(holder)
        return holder, holder.actor.hold.remote([(parcel.name, parcel.reference) for parcel in parcels], [])

    def _worker_lost(self, slot: WorkerSlot) -> None:
        """Forget the copies that it held. Its node, if no other worker is there, may be gone, too.

        A node without a worker is left at once, before it is known what became of it: what is on it could not be
        read for as long as Ray takes to miss it.
        """
        node_left = slot.ray_node in self._dispatcher.workers_by_node()
        for parcel in list(self._parcels):
            if slot in parcel.holders:
                parcel.holders.remove(slot)
            if parcel.ray_node == slot.ray_node and not node_left:
                self._use_copy(parcel)
        self._mend()

    def _use_copy(self, parcel: Parcel) -> None:
        """Go on from a copy, if there is one, instead of from what may be lost."""
        parcel.ray_node = ""
        if parcel.holders:
            holder = parcel.holders.pop()
            parcel.reference, parcel.ray_node = holder.actor.hand_on.remote(parcel.name), holder.ray_node

    def _mend(self) -> None:
        """Copy what is on one node only."""
        self._nodes = set(self._dispatcher.workers_by_node())
        single: dict[str, list[Parcel]] = defaultdict(list)
        for parcel in list(self._parcels):
            if len(ray_nodes := parcel.ray_nodes) == 1 and self._driver_node not in ray_nodes:
                single[ray_nodes.pop()].append(parcel)
        for ray_node, parcels in single.items():
            self._hold(parcels, ray_node)
