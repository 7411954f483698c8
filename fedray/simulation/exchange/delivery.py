"""A message on its way to a client, and what comes back."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flwr.app import Error, Message, Metadata, RecordDict

from ..errors import DeadlineExceededError, SimulationError, StateLostError, WorkerDiedError
from ..wire.messages import APP_CRASHED, APP_RAISED, TOO_LATE, address_of, kind_of, reply_to
from ..wire.packing import Packed, unpack
from ..workers.jobs import WorkerSlot


@dataclass(eq=False)
class Parcel:
    """Clients' states, as one object in the object store. Copies of it go when nobody refers to it any more.

    Attributes:
        reference: Ray's reference to it.
        ray_node: The Ray node on which it was made, empty if that may be lost.
        holders: Workers on other nodes that hold a copy.
        name: What the holders know it by.
    """

    reference: Any
    ray_node: str
    holders: list[WorkerSlot] = field(default_factory=list)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        """Take the name of the first object: another may take its place."""
        self.name = self.reference.hex()

    @property
    def ray_nodes(self) -> set[str]:
        """The Ray nodes that have it."""
        return {node for node in (self.ray_node, *(slot.ray_node for slot in self.holders)) if node}

    def is_on(self, ray_node: str) -> bool:
        """Whether a Ray node has it."""
        return ray_node == self.ray_node or any(slot.ray_node == ray_node for slot in self.holders)


class StateRef(NamedTuple):
    """Where a client's state is: in a parcel, and what it refers to is in contents of earlier messages.

    Those are the driver's objects: no other lost node can lose them.
    """

    parcel: Parcel
    place: int
    contents: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Content:
    """What one or more messages carry: packed if it is small, else a reference to it in the object store."""

    number: int
    packed: Packed | None
    reference: Any


@dataclass(eq=False)
class Merged:
    """A reply of which the arrays are the mean over several clients."""

    content: RecordDict


@dataclass(eq=False, slots=True)
class Delivery:
    """A message on its way.

    Attributes:
        metadata: The message's metadata. Not the message: its content may be large, and is not ours to keep.
        content: What it carries.
        tries: How many workers have died while they may have been at it.
        reply: The packed reply.
        merged: The reply that this one is part of.
        error: What went wrong, if there is no reply.
        failure: Why no message can be run at all.
        state: The client's state after it: a place, None for an empty one.
        changes_state: Whether ``state`` is to be taken.
        estimate_s: How long the client will probably take, 0 if nothing is known.
    """

    metadata: Metadata
    content: Content | None
    tries: int = 0
    reply: Packed | None = None
    merged: Merged | None = None
    error: Error | None = None
    failure: SimulationError | None = None
    state: StateRef | None = None
    changes_state: bool = False
    estimate_s: float = 0.0
    message_id: str = field(init=False)
    node_id: int = field(init=False)
    created_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Note what is asked for often."""
        self.message_id, self.node_id, self.created_at = address_of(self.metadata)

    @property
    def kind(self) -> tuple[str, str, float]:
        """Message type, group id and ttl: what the messages of a wave have in common."""
        return kind_of(self.metadata)

    @property
    def valid_until(self) -> float:
        """When the message expires (Unix time)."""
        return self.metadata.created_at + self.metadata.ttl

    def forget(self) -> None:
        """Forget what came back."""
        self.reply = self.merged = self.error = self.state = None
        self.changes_state = False

    def fail(self, error: BaseException) -> None:
        """Turn an error into what the server app gets: an error reply, or an exception if nothing can be run."""
        self.forget()
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, WorkerDiedError | StateLostError):
            self.error = Error(APP_CRASHED, reason)
        elif isinstance(error, DeadlineExceededError):
            self.error = Error(TOO_LATE, reason)
        elif isinstance(error, SimulationError):
            self.failure = error
        else:  # the worker could not even unpickle the message
            self.error = Error(APP_RAISED, reason)

    def open(self) -> Message:
        """Return the reply, and keep nothing of it. Its arrays stay in shared memory."""
        if self.reply is not None:
            reply: Message = unpack(self.reply)
        else:
            answer = self.error if self.merged is None else self.merged.content
            assert answer is not None, "a delivery is opened when it is finished"
            reply = reply_to(self.metadata, answer)
        self.forget()
        return reply
