"""The clients' states between messages: where each is in the object store, and that a lost node does not lose it."""

from collections.abc import Iterable, Mapping
from functools import partial

import ray
from flwr.app import RecordDict

from .arrays import share
from .delivery import Delivery, StateRef
from .dispatch import Dispatcher
from .packing import pack, unpack
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
        return state is None or state.ray_node == ray_node

    def take_over(self, deliveries: Iterable[Delivery]) -> None:
        """Take the states that finished deliveries left. On the dispatcher's thread."""
        new, old = [], []
        for delivery in deliveries:
            if not delivery.changes_state:
                continue
            if (before := self._states.pop(delivery.node_id, None)) is not None:
                old.append(before)
            if delivery.state is not None:
                self._states[delivery.node_id] = delivery.state
                new.append(delivery.state)
                delivery.state = None
        if new or old:
            self._replicas.update(new, old)

    def snapshot(self) -> dict[int, RecordDict]:
        """Return the states by node id."""
        states = dict(self._states)
        parcels = {state.parcel: None for state in states.values()}
        read = dict(zip(parcels, ray.get(list(parcels)), strict=True))
        return {node_id: unpack(read[state.parcel][state.place]) for node_id, state in states.items()}

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Replace all states by those of a snapshot."""
        references = {
            node_id: StateRef(ray.put([pack(share(state))]), 0, self._driver_node) for node_id, state in states.items()
        }
        self.clear()
        self._states = references

    def clear(self) -> None:
        """Have none any more."""
        dropped, self._states = list(self._states.values()), {}
        self._dispatcher.post(partial(self._replicas.update, [], dropped))
