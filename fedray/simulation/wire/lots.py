"""What passes between driver and worker: lots of clients down, reports up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import ray
from flwr.app import Context, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.common.constant import NUM_PARTITIONS_KEY, PARTITION_ID_KEY, SUPERLINK_NODE_ID
from ray import cloudpickle

from ..errors import SimulationError
from .merging import MergeRule
from .packing import Packed

FIRST_NODE_ID = SUPERLINK_NODE_ID + 1
"""Node id of the client with partition 0; the others follow in the order of their partitions."""


@dataclass(frozen=True)
class AppRef:
    """A client app in the object store: its bytes are fetched once per worker."""

    digest: str
    pickled: Sequence[Any]  # one ObjectRef, in a list so that Ray does not resolve it with every call


def ship_app(client_app: ClientApp) -> AppRef:
    """Put an app into the object store.

    Raises:
        SimulationError: It cannot be pickled.
    """
    try:
        pickled = cloudpickle.dumps(client_app)
    except Exception as error:
        remedy = "build what cannot be pickled inside the app's functions"
        cause = f"{type(error).__name__}: {error}"
        raise SimulationError(f"client_app must be picklable to reach the workers, but {cause}; {remedy}") from error
    return AppRef(sha256(pickled).hexdigest(), [ray.put(pickled)])


@dataclass(frozen=True)
class Order:
    """What the messages of a wave have in common.

    Attributes:
        wave_id: Names the wave, and the mean that its replies are merged into.
        app: The client app.
        run_id: The run's id.
        num_partitions: Number of clients.
        run_config: What the clients find in ``Context.run_config``.
        message_type: Flower's message type.
        group_id: Flower's group id.
        ttl: Seconds for which the messages are valid.
        rule: How replies may be merged, None if they may not.
    """

    wave_id: str
    app: AppRef
    run_id: int
    num_partitions: int
    run_config: UserConfig
    message_type: str
    group_id: str
    ttl: float
    rule: MergeRule | None

    def context(self, node_id: int, state: RecordDict) -> Context:
        """Return a node's context in the run."""
        config: UserConfig = {PARTITION_ID_KEY: self.partition_of(node_id), NUM_PARTITIONS_KEY: self.num_partitions}
        return Context(self.run_id, node_id, config, state, dict(self.run_config))

    @staticmethod
    def partition_of(node_id: int) -> int:
        """Return the partition of a client."""
        return node_id - FIRST_NODE_ID


class Task(NamedTuple):
    """One client's part of a lot."""

    node_id: int
    message_id: str
    created_at: float
    content: int
    state: tuple[int, int] | None
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Lot:
    """Clients that one worker runs one after another. Lists, because objects take Ray's pickler microseconds each.

    Attributes:
        lot_id: Unique in the worker's life.
        order: What their messages have in common.
        node_ids: The clients, in the order in which they run.
        message_ids: Their messages.
        created_at: When each message was created (Unix time).
        contents: Index of each message's content among the small contents and, after them, the large ones.
        small_contents: Packed contents; large ones are objects in the store, and sent beside the lot.
        states: By position: (index of the parcel with the client's state, place in it), for the clients that have one.
        parcels: References to the parcels.
        kept: By position: numbers of the objects that the client's state refers to, if it does to any. Large contents
            are the first objects, ``objects`` follow.
        objects: References to contents of earlier messages.
    """

    lot_id: int
    order: Order
    node_ids: list[int] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    created_at: list[float] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)
    small_contents: list[Packed] = field(default_factory=list)
    states: dict[int, tuple[int, int]] = field(default_factory=dict)
    parcels: list[Any] = field(default_factory=list)
    kept: dict[int, tuple[int, ...]] = field(default_factory=dict)
    objects: list[Any] = field(default_factory=list)

    def task(self, position: int) -> Task:
        """Return one client's part."""
        return Task(
            self.node_ids[position],
            self.message_ids[position],
            self.created_at[position],
            self.contents[position],
            self.states.get(position),
            self.kept.get(position, ()),
        )


NO_STATE = (-1, -1)
"""In a report: the client's state is empty now."""


@dataclass
class Report:
    """What became of a lot. Small: whatever is large is in parcels that wait on the worker.

    Attributes:
        seconds: By position in the lot: seconds in the client app, for all clients that ran.
        replies: By position: the packed reply.
        large_replies: By position: index of the parcel with the packed reply.
        states: By position: (index of the parcel, place in it) of the new state, or :data:`NO_STATE`. A client that is
            not here keeps the state it had.
        kept: By position: numbers of the lot's objects that this state refers to, if it does to any.
        merged: Positions of the clients whose replies are in the worker's mean.
        mean: That mean, if it is small, and then it is no longer with the worker.
        merge_s: Seconds spent on merging.
        left: Positions of the clients that did not run.
        lost: By position: why the client's state could not be read. The client did not run.
        num_parcels: How many parcels wait.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    replies: dict[int, Packed] = field(default_factory=dict)
    large_replies: dict[int, int] = field(default_factory=dict)
    states: dict[int, tuple[int, int]] = field(default_factory=dict)
    kept: dict[int, tuple[int, ...]] = field(default_factory=dict)
    merged: list[int] = field(default_factory=list)
    mean: RecordDict | None = None
    merge_s: float = 0.0
    left: list[int] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    num_parcels: int = 0
