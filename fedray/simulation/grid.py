"""Flower's Grid over a pool of workers."""

import copy
import logging
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from flwr.app import Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from .errors import SimulationError
from .exchange.balance import Estimates
from .exchange.delivery import Content, Delivery, Merged
from .exchange.sent import LARGE_BYTES, SentArrays
from .exchange.soundness import sound_replies
from .exchange.states import ClientStates
from .exchange.timing import RoundClock, RoundTiming
from .exchange.wave import Wave
from .wire.arrays import share
from .wire.lots import FIRST_NODE_ID, Order, ship_app
from .wire.merging import calling_strategy, merge_rule
from .wire.messages import check_sendable, mark_sent
from .wire.packing import pack
from .wire.runs import Run, identify_server, new_run, tell
from .workers.pool import WorkerPool

logger = logging.getLogger(__name__)

_PUSHED_LOT_S = 0.1  # who pulls replies as they come does not want to wait for a worker's whole share
_GRACE_S = 30.0  # waves keep the messages' deadlines; whoever waits for a reply waits at most this much longer


class RayGrid(Grid):
    """Runs a ClientApp's virtual clients on the workers of a pool.

    Clients' ``Context.state`` stays in Ray's object store from one message to the next, and is the grid's, not a
    worker's. Messages to one client run one after another. Any thread may use the grid.

    Attributes:
        timing: Where the time of the last :meth:`send_and_receive` with messages went, None before the first.
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
            reply_timeout_s: How long a worker may take for one client; then it is killed and the message answered
                with an error. None: as long as the message is valid (its ``ttl``).
            max_tries: How many workers may die over one client before its message is answered with an error.

        Raises:
            ValueError: An argument is out of its range.
            SimulationError: The app cannot be pickled.
        """
        if num_supernodes < 1:
            raise ValueError(f"num_supernodes must be >= 1, but got {num_supernodes}")
        if max_tries < 1:
            raise ValueError(f"max_tries must be >= 1, but got {max_tries}")
        self._pool, self._reply_timeout_s, self._max_tries = pool, reply_timeout_s, max_tries
        self._app = ship_app(client_app)
        self._node_ids = range(FIRST_NODE_ID, FIRST_NODE_ID + num_supernodes)
        self._run_config = dict(run_config or {})
        self._states = ClientStates(pool.dispatcher)
        self._estimates: dict[str, Estimates] = defaultdict(Estimates)  # by message type
        self._deliveries: dict[str, Delivery] = {}  # by message id, until their reply is pulled
        self._sent = SentArrays()
        self._finished: dict[str, Delivery] = {}  # those with a reply, in the order in which they finished
        self._waves: dict[str, Wave] = {}  # by message id, until finished
        self._queues: dict[int, deque[partial[None]] | None] = {}  # nodes at work; the waves that wait for one, if any
        self._changed = threading.Condition()
        self._closed = False
        self.timing: RoundTiming | None = None
        self.set_run(new_run())

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
        return list(self._node_ids)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; the pool works on them from now on. Each gets an id, and will get a reply of its own.

        Large arrays in a message's content move into Ray's object store: the content keeps equal, read-only views.

        Returns:
            The messages' ids, in their order.

        Raises:
            ValueError: A message has no content, is a reply, has expired, or is for a node that is not there.
                None is sent.
        """
        return self._send(list(messages), None, RoundClock(), _PUSHED_LOT_S)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there and were not yet pulled, in the order in which they finished.

        Raises:
            SimulationError: A message could not be run at all, because there are no workers.
        """
        return self._pull(set(message_ids))[0]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and wait for the replies. As :meth:`exchange`, for the strategy whose ``start`` is asking."""
        return self.exchange(messages, calling_strategy(), timeout=timeout)

    # Beyond Flower.

    def exchange(
        self, messages: Iterable[Message], strategy: Strategy | None, *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages and wait for the replies.

        Args:
            messages: The messages.
            strategy: Who will aggregate the replies. If it takes a weighted mean of them, workers merge theirs, and
                :func:`merged_nodes` says for whom a reply stands. Replies that would spoil the aggregate without a word
                become error replies (:mod:`.exchange.soundness`). None: every reply is wanted, as it is.
            timeout: Seconds to wait at most. Messages that are not answered by then are forgotten: their workers are
                killed and replaced, their clients' states stay as they were.

        Returns:
            The replies, in the order in which they finished.

        Raises:
            ValueError: As :meth:`push_messages`.
            SimulationError: A message could not be run at all, because there are no workers.
            UnsoundRepliesError: There is no reply that a strategy could aggregate, though clients answered.
        """
        clock = RoundClock()
        waiting_for = set(self._send(list(messages), strategy, clock, math.inf))
        num_messages, replies = len(waiting_for), list[Message]()
        try:
            deadline = self._latest(waiting_for) if timeout is None else time.monotonic() + timeout
            while waiting_for and self._wait_for_any(waiting_for, deadline):
                new, answered = self._pull(waiting_for)
                waiting_for -= answered
                replies += new
            if waiting_for:
                self._conclude(waiting_for)
                new, answered = self._pull(waiting_for)
                waiting_for -= answered
                replies += new
        finally:
            self._forget(waiting_for)
        if num_messages:
            self.timing = clock.stop(num_messages - len(waiting_for), len(replies))
            self._pool.follow_cluster()
            tell(f"send_and_receive: {self.timing}")
        return sound_replies(replies, strategy)

    def state_snapshot(self) -> dict[int, RecordDict]:
        """Return the states of the clients that have one, by node id. For checkpoints, between rounds.

        Raises:
            StateLostError: One was lost with the only node that had it.
        """
        return self._states.snapshot()

    def restore_state(self, states: Mapping[int, RecordDict]) -> None:
        """Set the clients' states to a snapshot. Clients that are not in it have none afterwards.

        Raises:
            ValueError: A node id that is not in this grid.
            SimulationError: Clients are at work.
        """
        if unknown := sorted(node_id for node_id in states if node_id not in self._node_ids):
            raise ValueError(
                f"no such node(s): {unknown}; this grid has {len(self._node_ids)} nodes from {self._node_ids[0]} on"
            )
        with self._changed:
            if self._queues:
                raise SimulationError(
                    f"states can be restored between rounds only: {len(self._queues)} node(s) at work"
                )
            self._states.restore(states)

    def close(self) -> None:
        """Forget all pending work, replies and states. Idempotent; the pool stays up."""
        with self._changed:
            self._closed = True
            self._sent.give_back()
            self._forget(set(self._deliveries))
            self._states.clear()

    # Sending.

    def _identify(self) -> None:
        """Claim the process-global identity: another grid in this process may have set it last."""
        identify_server(self._run.run_id)

    def _send(
        self, messages: list[Message], strategy: Strategy | None, clock: RoundClock, lot_limit_s: float
    ) -> list[str]:
        check_sendable(messages, self._node_ids, time.time())
        waves: dict[Any, list[Delivery]] = defaultdict(list)
        with self._changed:
            if self._closed:
                raise SimulationError("the grid is closed; make a new one on the same pool")
            deliveries = self._deliveries_of(messages)
            for delivery in deliveries:
                self._deliveries[delivery.message_id] = delivery
                if delivery.node_id not in self._queues:
                    self._queues[delivery.node_id] = None  # an empty queue for each of 100,000 takes 80 MB
                    waves[delivery.kind].append(delivery)
                else:
                    waiting = self._queues[delivery.node_id] or deque()
                    waiting.append(partial(self._start_wave, [delivery], strategy, clock, lot_limit_s))
                    self._queues[delivery.node_id] = waiting
            for members in waves.values():
                self._start_wave(members, strategy, clock, lot_limit_s)
        return [delivery.message_id for delivery in deliveries]

    def _deliveries_of(self, messages: list[Message]) -> list[Delivery]:
        """Give the messages ids, and put what they carry where workers can get it."""
        prefix, run_id = uuid4().hex, self._run.run_id
        contents: dict[int, Content] = {}  # one for all messages with the same content
        deliveries = []
        if messages:
            self._sent.give_back()
        for number, message in enumerate(messages):
            record = message.content
            if (content := contents.get(id(record))) is None:
                content = contents[id(record)] = self._content(len(contents), record)
            metadata = message.metadata
            mark_sent(metadata, f"{prefix}-{number}", run_id)
            deliveries.append(Delivery(metadata, content))
        return deliveries

    def _content(self, number: int, content: RecordDict) -> Content:
        packed = pack(share(content))
        if packed.nbytes < LARGE_BYTES:
            return Content(number, packed, None)
        return Content(number, None, self._sent.put(content))

    def _start_wave(
        self, members: list[Delivery], strategy: Strategy | None, clock: RoundClock, lot_limit_s: float
    ) -> None:
        message_type, group_id, ttl = members[0].kind
        oldest = min(delivery.created_at for delivery in members)
        order = Order(
            wave_id=uuid4().hex,
            app=self._app,
            run_id=self._run.run_id,
            num_partitions=len(self._node_ids),
            run_config=self._run_config,
            message_type=message_type,
            group_id=group_id,
            ttl=ttl,
            rule=merge_rule(strategy, message_type),
        )
        wave = Wave(
            self._pool.dispatcher,
            order,
            members,
            states=self._states,
            estimates=self._estimates[message_type],
            clock=clock,
            on_finished=self._take_in,
            lot_limit_s=lot_limit_s,
            deadline=time.monotonic() + oldest + ttl - time.time(),
            reply_timeout_s=self._reply_timeout_s,
            max_tries=self._max_tries,
        )
        self._waves.update(dict.fromkeys((delivery.message_id for delivery in members), wave))
        self._pool.dispatcher.serve(wave)

    # Receiving.

    def _take_in(self, deliveries: list[Delivery], last: bool) -> None:
        """Keep replies and states. Runs on the dispatcher's thread.

        A waiting thread is woken for single replies and for a wave's last: a mean is opened fast enough then, and
        until then the thread would only take turns with the workers and this one.
        """
        with self._changed:
            wanted = [delivery for delivery in deliveries if delivery.message_id in self._deliveries]  # not forgotten
            self._states.take_over(wanted)
            for delivery in wanted:
                self._finished[delivery.message_id] = delivery
                delivery.content = None  # the store may free it
                self._release(delivery)
            if last or any(delivery.merged is None for delivery in wanted):
                self._changed.notify_all()

    def _release(self, delivery: Delivery) -> None:
        """Let the node's next message go."""
        if self._waves.pop(delivery.message_id, None) is None:
            return
        waiting = self._queues[delivery.node_id]
        if waiting:
            waiting.popleft()()
        else:
            del self._queues[delivery.node_id]

    def _pull(self, message_ids: set[str]) -> tuple[list[Message], set[str]]:
        """Return the new replies, and the ids of the messages that they answer."""
        with self._changed:
            finished = [self._finished.pop(name) for name in list(self._finished) if name in message_ids]
            for delivery in finished:
                del self._deliveries[delivery.message_id]
        replies: list[Message] = []
        opened: set[Merged] = set()
        for delivery in finished:
            if delivery.failure is not None:
                raise delivery.failure
            if delivery.merged in opened:
                delivery.forget()
                continue
            if delivery.merged is not None:
                opened.add(delivery.merged)
            replies.append(delivery.open())
        for reply in replies:
            if reply.has_error():
                logger.error("Client %d: %s", reply.metadata.src_node_id, reply.error.reason)
        return replies, {delivery.message_id for delivery in finished}

    def _conclude(self, message_ids: set[str]) -> None:
        """Time is up: save what the workers have done."""
        with self._changed:
            waves = {self._waves[name] for name in message_ids if name in self._waves}
        saved = [threading.Event() for _ in waves]
        for wave, event in zip(waves, saved, strict=True):
            if not self._pool.dispatcher.post(partial(wave.conclude, event.set)):
                event.set()
        for event in saved:
            event.wait(_GRACE_S)

    def _forget(self, message_ids: set[str]) -> None:
        with self._changed:
            forgotten = [self._deliveries.pop(name) for name in message_ids if name in self._deliveries]
            names = {delivery.message_id for delivery in forgotten}
            for wave in {self._waves[name] for name in names if name in self._waves}:
                self._pool.dispatcher.post(partial(wave.abandon, names))
            for delivery in forgotten:
                delivery.content = None
                self._finished.pop(delivery.message_id, None)
            for delivery in forgotten:
                self._release(delivery)

    def _wait_for_any(self, message_ids: set[str], deadline: float) -> bool:
        """Wait until one of the messages has a reply, or until the deadline."""
        seconds = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        with self._changed:
            return self._changed.wait_for(lambda: not self._finished.keys().isdisjoint(message_ids), seconds)

    def _latest(self, message_ids: set[str]) -> float:
        with self._changed:
            latest = max((self._deliveries[name].valid_until for name in message_ids), default=0.0)
        return time.monotonic() + latest - time.time() + _GRACE_S
