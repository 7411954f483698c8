"""What a worker could not read: states that are lost with their node, or a worker that has outlived its own."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ray.exceptions import RayError

from ..errors import state_lost
from ..workers.dispatch import Dispatcher
from ..workers.jobs import WorkerSlot
from .delivery import Delivery, Parcel
from .ledger import Ledger
from .states import ClientStates

_READ_AGAIN_S = 1.0  # a copy takes the place of what was lost: when to read again


class Unread:
    """Has clients run again of which a worker could not read the states, on the dispatcher's thread.

    A worker lives on for some seconds without its node, longer on a busy machine. All that it can tell is that it could
    read nothing, and what it was to read may be the only whole copy: the driver, whose own node is not lost, looks.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        ledger: Ledger,
        states: ClientStates,
        *,
        max_tries: int,
        describe: Callable[[Delivery], str],
    ) -> None:
        """Know of nothing.

        Args:
            dispatcher: Of the workers.
            ledger: Gets the clients back, or those that fail.
            states: The clients' states.
            max_tries: How often a client's state may not be found.
            describe: Names a message, for errors.
        """
        self._dispatcher, self._ledger, self._states = dispatcher, ledger, states
        self._max_tries, self._describe = max_tries, describe
        self._cut_off: set[WorkerSlot] = set()

    def leaves_out(self, slot: WorkerSlot) -> bool:
        """Whether a worker could not read what the driver could, and there is another one to give work to."""
        if slot not in self._cut_off:
            return False
        up = [other for slots in self._dispatcher.workers_by_node().values() for other in slots]
        return not self._cut_off.issuperset(up)

    def worker_lost(self, slot: WorkerSlot) -> None:
        """Forget a worker."""
        self._cut_off.discard(slot)

    def seek(self, slot: WorkerSlot, lost: dict[Delivery, str]) -> None:
        """Run clients again, as soon as their states are found.

        Args:
            slot: The worker that could not read them.
            lost: The clients, with what went wrong there.
        """
        clients = {delivery.node_id: delivery for delivery in lost}
        parcels = self._states.parcels_of(clients)
        for parcel, node_ids in parcels.items():
            here = {delivery: lost[delivery] for delivery in map(clients.pop, node_ids)}
            self._states.read_here([parcel], partial(self._looked, slot, parcel, parcel.reference, here))
        self._ledger.run_again(clients.values())  # they have no state any more

    def _looked(
        self, slot: WorkerSlot, parcel: Parcel, reference: Any, lost: dict[Delivery, str], error: RayError | None
    ) -> None:
        if error is None:
            self._cut_off.add(slot)
        elif parcel.reference is reference:  # else a copy has taken its place
            self._states.bring_back(parcel)
        again = time.monotonic() + (0.0 if error is None else _READ_AGAIN_S)
        for delivery, reason in lost.items():
            delivery.tries += 1
            if delivery.tries < self._max_tries:
                self._dispatcher.at(again, partial(self._ledger.run_again, [delivery]))
            else:
                self._ledger.fail([delivery], state_lost(self._describe(delivery), reason))
