"""A message on its way through the pool, and what comes back."""

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import ray
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode

from .errors import DeadlineExceededError, SimulationError, WorkerDiedError
from .jobs import Job


@dataclass(eq=False)
class Delivery:
    """A message on its way. All times are ``time.monotonic()``.

    Attributes:
        message: The message, without its content.
        content: Reference to the message's content.
        job: Its work for the pool.
        reply: Reference to the reply, once the worker has the message.
        state: Reference to the client's state after it.
        error: What went wrong, if there is no reply.
        failure: Why no message can be run at all.
    """

    message: Message
    content: Any
    job: Job = field(init=False)
    reply: Any = None
    state: Any = None
    error: Error | None = None
    failure: SimulationError | None = None
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        """Compute when the message expires."""
        metadata = self.message.metadata
        self.deadline = time.monotonic() + metadata.created_at + metadata.ttl - time.time()

    @property
    def message_id(self) -> str:
        """The message's id."""
        return self.message.metadata.message_id

    @property
    def node_id(self) -> int:
        """The client's node id."""
        return self.message.metadata.dst_node_id

    def fail(self, error: BaseException) -> None:
        """Turn an error into what the server app gets: an error reply, or an exception if nothing can be run."""
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, WorkerDiedError):
            self.error = Error(ErrorCode.CLIENT_APP_CRASHED, reason)
        elif isinstance(error, DeadlineExceededError):
            self.error = Error(ErrorCode.MESSAGE_UNAVAILABLE, reason)
        elif isinstance(error, SimulationError):
            self.failure = error
        else:  # the worker could not even unpickle the message, or pickle the reply
            self.error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason)

    def fetch_reply(self) -> Message:
        """Return the reply. Its arrays stay in shared memory."""
        if self.error is None:
            try:
                seconds_left = max(60.0, self.deadline - time.monotonic())
                reply: Message = ray.get(self.reply, timeout=seconds_left)
                self.reply = None  # from here on the arrays in it are what holds the memory
                return reply
            except ray.exceptions.RayError as error:  # the object is lost with its node
                self.fail(error)
        assert self.error is not None
        answer = Message(self.error, reply_to=self.message)
        answer.metadata.__dict__["_message_id"] = str(uuid4())
        return answer
