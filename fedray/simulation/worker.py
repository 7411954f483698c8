"""The worker process: a Ray actor that passes messages through a Flower ClientApp."""

import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import ray
from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.common.constant import NUM_PARTITIONS_KEY, PARTITION_ID_KEY, ErrorCode
from ray import cloudpickle

from .arrays import share
from .identity import identify

_APPS_KEPT = 4  # a pool serves one grid after another: the apps of long finished ones must not pile up


@dataclass(frozen=True)
class AppRef:
    """A client app in the object store: its bytes are fetched once per worker."""

    digest: str
    pickled: Sequence[Any]  # one ObjectRef, in a list so that Ray does not resolve it with every message


@dataclass(frozen=True)
class Node:
    """What a client knows about itself."""

    node_id: int
    partition_id: int
    num_partitions: int
    run_config: UserConfig

    def context(self, run_id: int, state: RecordDict) -> Context:
        """Return the node's context in a run."""
        config: UserConfig = {PARTITION_ID_KEY: self.partition_id, NUM_PARTITIONS_KEY: self.num_partitions}
        return Context(run_id, self.node_id, config, state, dict(self.run_config))


@dataclass(frozen=True)
class Outcome:
    """How a message went: the small result that the driver waits for; reply and state stay in the object store."""

    succeeded: bool
    has_state: bool = False


class Worker:
    """Runs client apps and other functions, one at a time. Made a Ray actor by the pool."""

    def __init__(self, setup: Callable[[], None] | None) -> None:
        """Run ``setup`` before anything else."""
        if setup is not None:
            setup()
        self._apps: OrderedDict[str, ClientApp] = OrderedDict()

    def ready(self) -> None:
        """Return as soon as this worker is up."""

    def call(self, function: Callable[..., Any], *args: Any) -> tuple[Any, None]:
        """Run a function. Returns (its result, nothing): the second is to wait for.

        What is waited for comes last, here and in :meth:`process`: Ray stores results in their order, so that it fails
        if one of the others cannot be pickled.
        """
        return function(*args), None

    def process(
        self, app: AppRef, node: Node, message: Message, content: RecordDict, state: RecordDict | None
    ) -> tuple[Message, RecordDict | None, Outcome]:
        """Pass a message through the client app.

        Args:
            app: The client app.
            node: The client.
            message: The message, without its content.
            content: The message's content.
            state: The client's ``Context.state``, None if it has none yet.

        Returns:
            The reply (an error reply if the app failed), the client's new state (None: unchanged, or empty) and the
            outcome.
        """
        message.content = content
        identify(message.metadata.run_id, node.node_id)
        try:
            client_app = self._load(app)
        except Exception as error:
            return _refused(message, ErrorCode.LOAD_CLIENT_APP_EXCEPTION, error)
        try:
            context = node.context(message.metadata.run_id, state if state is not None else RecordDict())
            reply = client_app(message, context)
            _check_reply(reply, message, context, node)
            if reply.has_content():
                reply.content = share(reply.content)
            new_state = share(context.state) if context.state else None
        except Exception as error:
            return _refused(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, error)
        return _with_id(reply), new_state, Outcome(True, has_state=new_state is not None)

    def _load(self, app: AppRef) -> ClientApp:
        if app.digest not in self._apps:
            self._apps[app.digest] = cloudpickle.loads(ray.get(app.pickled[0]))
            if len(self._apps) > _APPS_KEPT:
                self._apps.popitem(last=False)
        self._apps.move_to_end(app.digest)
        return self._apps[app.digest]


def _check_reply(reply: object, message: Message, context: Context, node: Node) -> None:
    if not isinstance(reply, Message):
        raise TypeError(f"a ClientApp must return a Message, but returned {type(reply).__name__}")
    if reply.metadata.reply_to_message_id != message.metadata.message_id:
        raise ValueError("a ClientApp must return Message(..., reply_to=message), but its reply is to another message")
    if context.run_config != node.run_config:
        raise ValueError("a ClientApp must not change context.run_config")


def _refused(message: Message, code: int, error: Exception) -> tuple[Message, None, Outcome]:
    trace = "".join(traceback.format_exception(error)[-4:])
    reason = f"{type(error).__name__}: {error}\n{trace}"
    return _with_id(Message(Error(code, reason), reply_to=message)), None, Outcome(False)


def _with_id(reply: Message) -> Message:
    reply.metadata.__dict__["_message_id"] = str(uuid4())  # Flower has no setter: its SuperLink gives the ids
    return reply
