"""What Flower keeps of a run beside its messages: its record, who speaks in its name, and its log."""

import logging
from uuid import uuid4

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.supercore import log
from flwr.supercore.logger import update_console_handler
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

__all__ = ["Run", "identify", "identify_server", "new_run", "show_debug_messages", "tell"]


def new_run() -> Run:
    """Make a run's record, with an id that no other has."""
    return Run.create_empty(run_id=uuid4().int >> 65)


def identify(run_id: int, node_id: int) -> None:
    """Say for which run and node this process builds messages from now on: a global that ``Message(...)`` reads."""
    TaskIdentity.task_id = 1  # as Flower's own simulation does: there are no tasks without a SuperLink
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = node_id


def identify_server(run_id: int) -> None:
    """Say that this process builds the server's messages from now on."""
    identify(run_id, SUPERLINK_NODE_ID)


def tell(line: str) -> None:
    """Write a line into Flower's log, between what the strategy says there."""
    log(logging.INFO, line)


def show_debug_messages() -> None:
    """Have Flower's log show its debug messages."""
    update_console_handler(level=logging.DEBUG, timestamps=True, colored=True)
