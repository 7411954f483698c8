"""Flower's Grid over a pool of workers."""

import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any
from uuid import uuid4

import ray
from flwr.app import Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from ray import cloudpickle

from .arrays import share
from .delivery import Delivery
from .errors import SimulationError
from .identity import identify
from .jobs import Job
from .pool import WorkerPool
from .worker import AppRef, Node, Outcome

logger = logging.getLogger(__name__)

_GRACE_S = (
    30.0  # the dispatcher keeps the messages' deadlines; whoever waits for a reply waits at most this much longer
)


class RayGrid(Grid):
    """Runs a ClientApp's virtual clients on the workers of a pool.

    Clients' ``Context.state`` stays in Ray's object store from one message to the next, and is the grid's, not a
    worker's. Messages to one client run one after another. Any thread may use the grid.
    """

    def __init__(
        self,
        client_app: ClientApp,
        num_supernodes: int,
        pool: WorkerPool,
        *,
        run_config: UserConfig | None = None,
        reply_timeout_s: float | None = None,
        max_tries: int = 3,
    ) -> None:
        """Ship the app to the pool.

        Args:
            client_app: The clients' app. It is pickled once, and unpickled once in each worker.
            num_supernodes: Number of clients, at least 1.
            pool: The workers. They outlive the grid.
            run_config: What the clients find in ``Context.run_config``.
            reply_timeout_s: How long a worker may take for one message; then it is killed and the message answered
                with an error. None: as long as the message is valid (its ``ttl``).
            max_tries: How many workers may die over one message before it is answered with an error.
        """
        if num_supernodes < 1:
            raise ValueError(f"num_supernodes must be >= 1, but got {num_supernodes}")
        if max_tries < 1:
            raise ValueError(f"max_tries must be >= 1, but got {max_tries}")
        self._pool, self._reply_timeout_s, self._max_tries = pool, reply_timeout_s, max_tries
        self._app = _ship(client_app)
        # Sorted by id, clients are in the order of their partitions.
        first = SUPERLINK_NODE_ID + 1
        config = dict(run_config or {})
        self._nodes = {first + i: Node(first + i, i, num_supernodes, config) for i in range(num_supernodes)}
        self._states: dict[int, Any] = {}  # node id -> reference to a RecordDict
        self._deliveries: dict[str, Delivery] = {}  # by message id, until their reply is pulled
        self._finished: dict[str, Delivery] = {}  # those with a reply, in the order in which they finished
        self._queues: dict[int, deque[Delivery]] = {}  # per node; the first is with the pool
        self._changed = threading.Condition()
        self._closed = False
        self.set_run(Run.create_empty(run_id=uuid4().int >> 65))

    # What Flower asks of a grid.

    def set_run(self, run: Run) -> None:
        """Set the run. Messages are sent in its name from now on."""
        if not isinstance(run, Run):
            raise TypeError(f"run must be a flwr Run, but got {type(run).__name__}")
        self._run = run
        self._identify()

    @property
    def run(self) -> Run:
        """The run."""
        self._identify()
        return copy.copy(self._run)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a message. Flower calls this deprecated; use ``Message(...)``."""
        self._identify()
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the clients' ids, in the order of their partitions."""
        self._identify()
        return list(self._nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; the pool works on them from now on. Each gets an id.

        Returns:
            The messages' ids, in their order.

        Raises:
            ValueError: A message has no content, is a reply, has expired, or is for a node that is not there.
                None is sent.
        """
        messages = list(messages)
        for message in messages:
            self._check(message)
        references: dict[int, Any] = {}  # one object in the store for all messages with the same content
        deliveries = []
        for message in messages:
            key = id(message.content)
            if key not in references:
                references[key] = ray.put(share(message.content))
            deliveries.append(self._delivery(message, references[key]))
        with self._changed:
            if self._closed:
                raise SimulationError("the grid is closed; make a new one on the same pool")
            for delivery in deliveries:
                self._deliveries[delivery.message_id] = delivery
                waiting = self._queues.setdefault(delivery.node_id, deque())
                waiting.append(delivery)
                if len(waiting) == 1:
                    self._pool.submit(delivery.job)
        return [delivery.message_id for delivery in deliveries]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there and were not yet pulled, in the order in which they finished.

        Raises:
            SimulationError: A message could not be run at all, because there are no workers.
        """
        wanted = set(message_ids)
        with self._changed:
            finished = [self._finished.pop(name) for name in list(self._finished) if name in wanted]
            for delivery in finished:
                del self._deliveries[delivery.message_id]
        for delivery in finished:
            if delivery.failure is not None:
                raise delivery.failure
        replies = [delivery.fetch_reply() for delivery in finished]
        for reply in replies:
            if reply.has_error():
                logger.error("Client %d: %s", reply.metadata.src_node_id, reply.error.reason)
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and wait for the replies.

        Args:
            messages: The messages.
            timeout: Seconds to wait at most. Messages that are not answered by then are forgotten: their workers are
                killed and replaced, their clients' states stay as they were.

        Returns:
            The replies, in the order in which they finished.
        """
        waiting_for = set(self.push_messages(messages))
        replies: list[Message] = []
        try:
            deadline = self._latest(waiting_for) if timeout is None else time.monotonic() + timeout
            while waiting_for and self._wait_for_any(waiting_for, deadline):
                new = self.pull_messages(waiting_for)
                waiting_for -= {reply.metadata.reply_to_message_id for reply in new}
                replies += new
        finally:
            self._forget(waiting_for)
        return replies

    # Beyond Flower.

    def state_snapshot(self) -> dict[int, RecordDict]:
        """Return the states of the clients that have one, by node id. For checkpoints, between rounds."""
        with self._changed:
            states = dict(self._states)
        return dict(zip(states, ray.get(list(states.values())), strict=True))

    def restore_state(self, states: Mapping[int, RecordDict]) -> None:
        """Set the clients' states to a snapshot. Clients that are not in it have none afterwards.

        Raises:
            ValueError: A node id that is not in this grid.
        """
        if unknown := sorted(set(states) - set(self._nodes)):
            raise ValueError(
                f"no such node(s): {unknown}; this grid has {len(self._nodes)} nodes from {min(self._nodes)} on"
            )
        references = {node_id: ray.put(share(state)) for node_id, state in states.items()}
        with self._changed:
            if self._queues:
                raise SimulationError(
                    f"states can be restored between rounds only: {len(self._queues)} node(s) at work"
                )
            self._states = references

    def close(self) -> None:
        """Forget all pending work, replies and states. Idempotent; the pool stays up."""
        with self._changed:
            self._closed = True
            self._forget(set(self._deliveries))
            self._states.clear()

    # Inside.

    def _identify(self) -> None:
        """Claim the process-global identity: another grid in this process may have set it last."""
        identify(self._run.run_id, SUPERLINK_NODE_ID)

    def _check(self, message: Message) -> None:
        metadata = message.metadata
        if not message.has_content() or metadata.reply_to_message_id:
            raise ValueError(f"a grid sends messages with content that are not replies, but got {metadata}")
        if metadata.dst_node_id not in self._nodes:
            raise ValueError(f"no such node: {metadata.dst_node_id}; this grid has {list(self._nodes)[:3]} ...")
        if metadata.created_at + metadata.ttl <= time.time():
            raise ValueError(f"message expired: its ttl of {metadata.ttl:g} s is over")

    def _delivery(self, message: Message, content: Any) -> Delivery:
        metadata = message.metadata.__dict__  # Flower has no setters for these: its SuperLink writes them
        metadata.update(_message_id=str(uuid4()), _run_id=self._run.run_id, _src_node_id=SUPERLINK_NODE_ID)
        bare = copy.copy(message)
        bare.content = RecordDict()
        delivery = Delivery(copy.deepcopy(bare), content)
        node = self._nodes[delivery.node_id]

        def start(actor: Any) -> Any:
            state = self._states.get(node.node_id)
            process = actor.process.options(num_returns=3)
            delivery.reply, delivery.state, outcome = process.remote(
                self._app, node, delivery.message, delivery.content, state
            )
            return outcome

        delivery.job = Job(
            start,
            lambda outcome: self._done(delivery, outcome),
            lambda error: self._failed(delivery, error),
            name=f"message {delivery.message.metadata.message_type!r} to client {node.partition_id}",
            max_tries=self._max_tries,
            deadline=delivery.deadline,
            run_timeout_s=self._reply_timeout_s,
        )
        return delivery

    def _done(self, delivery: Delivery, outcome: Outcome) -> None:
        """Keep a message's reply and state. Runs on the dispatcher's thread."""
        with self._changed:
            if delivery.message_id not in self._deliveries:
                return  # forgotten
            if outcome.has_state:
                self._states[delivery.node_id] = delivery.state
            elif outcome.succeeded:
                self._states.pop(delivery.node_id, None)
            self._finish(delivery)

    def _failed(self, delivery: Delivery, error: BaseException) -> None:
        """Answer a message that has no reply. Runs on the dispatcher's thread."""
        with self._changed:
            if delivery.message_id in self._deliveries:
                delivery.fail(error)
                self._finish(delivery)

    def _finish(self, delivery: Delivery) -> None:
        delivery.content = delivery.state = None  # the store may free them
        self._finished[delivery.message_id] = delivery
        self._leave_queue(delivery)
        self._changed.notify_all()

    def _leave_queue(self, delivery: Delivery) -> None:
        """Let the node's next message go."""
        waiting = self._queues.get(delivery.node_id)
        if not waiting or delivery not in waiting:
            return
        was_first = waiting[0] is delivery
        waiting.remove(delivery)
        if not waiting:
            del self._queues[delivery.node_id]
        elif was_first:
            self._pool.submit(waiting[0].job)

    def _forget(self, message_ids: set[str]) -> None:
        with self._changed:
            forgotten = [self._deliveries.pop(name) for name in message_ids if name in self._deliveries]
            for delivery in forgotten:
                delivery.content = None
                if self._finished.pop(delivery.message_id, None) is None:
                    self._pool.withdraw(delivery.job)
                    self._leave_queue(delivery)

    def _wait_for_any(self, message_ids: set[str], deadline: float) -> bool:
        """Wait until one of the messages has a reply, or until the deadline."""
        seconds = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        with self._changed:
            return self._changed.wait_for(lambda: not self._finished.keys().isdisjoint(message_ids), seconds)

    def _latest(self, message_ids: set[str]) -> float:
        with self._changed:
            return max((self._deliveries[name].deadline for name in message_ids), default=0.0) + _GRACE_S


def _ship(client_app: ClientApp) -> AppRef:
    try:
        pickled = cloudpickle.dumps(client_app)
    except Exception as error:
        remedy = "build what cannot be pickled inside the app's functions"
        cause = f"{type(error).__name__}: {error}"
        raise SimulationError(f"client_app must be picklable to reach the workers, but {cause}; {remedy}") from error
    return AppRef(sha256(pickled).hexdigest(), [ray.put(pickled)])
