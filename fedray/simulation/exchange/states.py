"""The clients' states between messages: where each is in the object store, and that a lost node does not lose it."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ray
from flwr.app import RecordDict
from ray.exceptions import RayError

from ..errors import state_lost
from ..wire.arrays import share
from ..wire.kept import StoredArrays, pack_state, unpack_state
from ..workers.dispatch import Dispatcher
from ..workers.jobs import WorkerSlot
from .delivery import Delivery, Parcel, StateRef
from .replicas import Replicas


class ClientStates:
    """References to states. Reading one is for any thread, changing them is for one at a time."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Have none.

        Args:
            dispatcher: Of the workers.
        """
        self._dispatcher = dispatcher
        self._driver_node: str = ray.get_runtime_context().get_node_id()
        self._replicas = Replicas(dispatcher, self._driver_node)
        self._states: dict[int, StateRef] = {}

    def get(self, node_id: int) -> StateRef | None:
        """Return where a client's state is, None if it has none."""
        return self._states.get(node_id)

    def is_near(self, node_id: int, ray_node: str) -> bool:
        """Whether a client's state need not travel to a Ray node."""
        state = self._states.get(node_id)
        return state is None or state.parcel.is_on(ray_node)

    def copy(self, parcels: list[Parcel]) -> tuple[WorkerSlot, Any] | None:
        """Have parcels of one Ray node copied to another. Returns as :meth:`Replicas.copy`."""
        return self._replicas.copy(parcels)

    def parcels_of(self, node_ids: Iterable[int]) -> dict[Parcel, list[int]]:
        """Return the parcels that clients' states are in, each with its clients."""
        found: dict[Parcel, list[int]] = defaultdict(list)
        for node_id in node_ids:
            if (state := self._states.get(node_id)) is not None:
                found[state.parcel].append(node_id)
        return found

    def read_here(self, parcels: Sequence[Parcel], then: Callable[[RayError | None], None]) -> None:
        """Read parcels that a worker could not: they may be lost, or the worker may have lived on without its node.

        The driver tells which, for its own node is not lost. What it has read stays there, and needs no copies.

        Args:
            parcels: What to read.
            then: Called on the dispatcher's thread with None, or with what went wrong; all stay as they are then.
        """
        references = [parcel.reference for parcel in parcels]

        def read() -> None:  # beside the dispatcher's thread: until Ray misses a lost node, it takes seconds
            try:
                values = ray.get(references)
            except RayError as error:
                # Without its frames: they hold references, and it in a circle, until some collection.
                self._dispatcher.post(partial(then, error.with_traceback(None)))
            else:
                self._dispatcher.post(partial(keep, values))

        def keep(values: list[Any]) -> None:
            for parcel, value in zip(parcels, values, strict=True):
                self._replicas.move_here(parcel, ray.put(value))
            then(None)

        threading.Thread(target=read, name="fedray-reader", daemon=True).start()

    def bring_back(self, parcel: Parcel) -> None:
        """Go on from the copy of a parcel that is lost. On the dispatcher's thread."""
        self._replicas.bring_back(parcel)

    def take_over(self, deliveries: Iterable[Delivery]) -> None:
        """Take the states that finished deliveries left. On the dispatcher's thread."""
        for delivery in deliveries:
            if not delivery.changes_state:
                continue
            if delivery.state is None:
                self._states.pop(delivery.node_id, None)
            else:
                self._states[delivery.node_id], delivery.state = delivery.state, None
        self._replicas.let_go()

    def snapshot(self) -> dict[int, RecordDict]:
        """Return the states by node id.

        Raises:
            StateLostError: One was lost.
        """
        states = dict(self._states)
        parcels = list({state.parcel: None for state in states.values()})
        contents = list({content: None for state in states.values() for content in state.contents})
        try:
            read = dict(zip(parcels, ray.get([parcel.reference for parcel in parcels]), strict=True))
            stored = dict(zip(contents, map(StoredArrays, ray.get(contents)), strict=True))
        except RayError as error:
            raise state_lost(f"one of {len(states)} clients at least", type(error).__name__) from error
        return {
            node_id: unpack_state(read[state.parcel][state.place], [stored[content] for content in state.contents])
            for node_id, state in states.items()
        }

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Replace all states by those of a snapshot."""
        references = {
            node_id: StateRef(Parcel(ray.put([pack_state(share(state), {})[0]]), self._driver_node), 0)
            for node_id, state in states.items()
        }
        self._states = references
        self._dispatcher.post(self._replicas.let_go)

    def clear(self) -> None:
        """Have none any more."""
        self._states = {}
        self._dispatcher.post(self._replicas.let_go)
