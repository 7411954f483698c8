"""A site's work: Flower's SuperNode fetches messages and brings replies, and this process alone opens the store.

What runs here is the FedRay that the site installed. The bundle of a run is never unpacked: a server cannot send code.
One process answers all messages: Flower's own would start another one for each, and import PyTorch in it.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

import httpx
from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
"""The call that hands out work, signed with a secret: no other process of the machine gets any."""

_LOOK_S = 0.2
"""Between two looks for work, in seconds."""

_logger = logging.getLogger(__name__)

Answer = Callable[[Message, Context], Message]


class Worker:
    """Answers what a SuperNode of this machine receives."""

    def __init__(
        self, address: str, secret: bytes, name: str, node_config: Mapping[str, str | int], answer: Answer
    ) -> None:
        """Name the SuperNode.

        Args:
            address: Host and port of its runtime, on loopback.
            secret: That it was started with.
            name: Of the site, for messages to the server.
            node_config: What the site says of itself to ``answer``: the SuperNode is not told where the store is.
            answer: Of the site.
        """
        self._address, self._name, self._node_config, self._answer = address, name, dict(node_config), answer
        signed = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={ACQUIRE})
        self._client = self._connect(signed)

    def work(self, goes_on: Callable[[], bool]) -> None:
        """Answer messages, one after another, for as long as something goes on."""
        wanted, read = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]), SimpleQueue[_Task]()
        while goes_on():
            try:
                found = self._client.AcquireTask(wanted)
            except httpx.TransportError:  # it has not begun to listen, or has ended
                found = None
            if found is not None and found.token:
                # Beside this thread: of a run that was stopped, a message may never come whole.
                threading.Thread(target=self._read, args=(found.token, read), daemon=True).start()
            with suppress(Empty):
                self._do(read.get(timeout=_LOOK_S))

    def _connect(self, *interceptors: ProtobufClientInterceptor) -> RuntimeHttpClient:
        versions = RuntimeVersionHttpInterceptor(component_name="flwr-clientapp")
        # In the clear, and on loopback alone: what leaves the machine goes through the SuperNode, by TLS.
        return RuntimeHttpClient.from_server_address(self._address, True, None, [versions, *interceptors])

    def _read(self, token: str, read: "SimpleQueue[_Task]") -> None:
        """Read a message, however long it takes to come."""
        client = self._connect(RuntimeTokenHttpInterceptor(token))
        heartbeat = HeartbeatSender(lambda: _beat(client))
        heartbeat.start()
        try:
            message, context, _, _ = pull_task_input(client)
        except Exception as error:
            _logger.warning("a message of the server's could not be read: %s", error)
            push_task_output(client, None, SubStatus.FAILED, str(error))
            _end(client, heartbeat)
        else:
            read.put(_Task(client, heartbeat, message, context))

    def _do(self, task: "_Task") -> None:
        """Answer a message; what fails here is told to the server, and the next one is answered."""
        client, heartbeat, message, context = task
        context.node_config.update(self._node_config)
        try:
            reply, failed = self._replied(message, context)
            push_message(client, reply, context)
            push_task_output(client, context, SubStatus.FAILED if failed else SubStatus.COMPLETED, failed)
        except (httpx.HTTPError, ObjectPushError) as error:  # the run was stopped meanwhile, say
            _logger.warning("an answer was not taken: %s", error)
        finally:
            _end(client, heartbeat)

    def _replied(self, message: Message, context: Context) -> tuple[Message, str]:
        """Return the reply, and what failed where it is an error."""
        try:
            return self._answer(message, context), ""
        except Exception as error:
            _logger.exception("the %s message failed", message.metadata.message_type)
            reason = f"site {self._name!r}: {type(error).__name__}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message), reason


class _Task(NamedTuple):
    """A message to answer, and what speaks of it to the SuperNode."""

    client: RuntimeHttpClient
    heartbeat: HeartbeatSender
    message: Message
    context: Context


def _end(client: RuntimeHttpClient, heartbeat: HeartbeatSender) -> None:
    if heartbeat.is_running:
        heartbeat.stop()
    client.close()


def _beat(client: RuntimeHttpClient) -> bool:
    """Say that the work goes on. Whether anybody wants it any more shows when it is handed over."""
    try:
        client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except httpx.TransportError:
        return False
    except httpx.HTTPStatusError:
        return True
    return True
