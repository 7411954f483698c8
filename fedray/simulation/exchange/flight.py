"""A lot on its way: on which worker, which of its clients are still there, and what is sent for it."""

import itertools
import time
from typing import Any

from ..wire.lots import Lot, Order
from ..workers.jobs import Job, WorkerSlot
from ..workers.timers import Timer
from .delivery import Delivery, Parcel
from .states import ClientStates

_lot_ids = itertools.count()


class Flight:
    """A lot on a worker.

    Attributes:
        slot: The worker.
        lot_id: The lot's id.
        deliveries: Its messages, by position.
        job: The lot as the dispatcher sees it, while it is there.
        timer: Of the limit for one client.
        taken: Positions of the clients that are done, or not this worker's any more.
        asked: Whether the worker has been asked for clients, and has not answered yet.
        exhausted: Whether it has said that it has none to give.
        objects: References to the lot's objects, by their number.
    """

    def __init__(self, slot: WorkerSlot, deliveries: list[Delivery]) -> None:
        """Start the clock. ``job`` is set by whoever makes it."""
        self.slot, self.deliveries, self.lot_id = slot, deliveries, next(_lot_ids)
        self.job: Job
        self.timer: Timer | None = None
        self.taken: set[int] = set()
        self.asked = self.exhausted = False
        self.objects: list[Any] = []
        self._started = time.monotonic()

    def left(self) -> list[int]:
        """Positions of the clients that are still this worker's."""
        return [position for position in range(len(self.deliveries)) if position not in self.taken]

    def seconds_left(self) -> float:
        """Estimate for how long the worker is still busy. One that is late is expected to take as long again."""
        elapsed = time.monotonic() - self._started
        left = sum(self.deliveries[position].estimate_s for position in self.left()) - elapsed
        return left if left > 0 else elapsed

    def end(self) -> None:
        """Let go of what refers back: deliveries, and what they hold, are to go without the garbage collector."""
        del self.job
        if self.timer is not None:
            self.timer.cancel()


def pack_lot(flight: Flight, order: Order, states: ClientStates) -> tuple[Lot, list[Any]]:
    """Make what is sent for a flight. Returns the lot, and references to the large contents that go beside it."""
    deliveries = flight.deliveries
    contents = {d.content.number: d.content for d in deliveries if d.content is not None}
    small = [content for content in contents.values() if content.packed is not None]
    large = [content for content in contents.values() if content.packed is None]
    index = {content.number: position for position, content in enumerate([*small, *large])}
    parcels: dict[Parcel, int] = {}
    objects = {content.reference: number for number, content in enumerate(large)}
    lot = Lot(
        flight.lot_id,
        order,
        node_ids=[delivery.node_id for delivery in deliveries],
        message_ids=[delivery.message_id for delivery in deliveries],
        created_at=[delivery.created_at for delivery in deliveries],
        contents=[index[delivery.content.number] for delivery in deliveries if delivery.content is not None],
        small_contents=[content.packed for content in small if content.packed is not None],
    )
    for position, node_id in enumerate(lot.node_ids):
        if (state := states.get(node_id)) is not None:
            lot.states[position] = (parcels.setdefault(state.parcel, len(parcels)), state.place)
            if state.contents:
                lot.kept[position] = tuple(objects.setdefault(content, len(objects)) for content in state.contents)
    lot.parcels.extend(parcel.reference for parcel in parcels)
    flight.objects = list(objects)
    lot.objects.extend(flight.objects[len(large) :])
    return lot, flight.objects[: len(large)]
