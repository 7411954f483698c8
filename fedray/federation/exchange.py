"""What every kind of round does: send, wait, and refuse what must not become the server's state."""

import logging
from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedray.config import ExperimentConfig, FederationConfig
from fedray.federation.divergence import diverged
from fedray.federation.failures import FederationError, failure_lines, failure_reasons
from fedray.federation.messages import ARRAYS, CONFIG, ROUND, from_record
from fedray.learning import Arrays, DivergedError, check_finite
from fedray.simulation import RayGrid, RoundTiming, merged_nodes

logger = logging.getLogger(__name__)


def exchange(
    grid: Grid, messages: list[Message], strategy: Strategy | None, federation: FederationConfig
) -> tuple[list[Message], RoundTiming | None]:
    """Send messages and wait for the replies: merged on the workers for a strategy if that and the grid allow it.

    Returns:
        The replies in the order of arrival, and how long what took, where the grid measures it.
    """
    if not isinstance(grid, RayGrid):
        return list(grid.send_and_receive(messages, timeout=federation.round_timeout_s)), None
    return grid.exchange(messages, strategy, timeout=federation.round_timeout_s), grid.timing


def ask_before(
    grid: Grid, arrays: ArrayRecord, header: ConfigRecord, config: ExperimentConfig, round_index: int
) -> list[Arrays]:
    """Ask all clients of a round, before they train, for what the strategy needs of them.

    Args:
        grid: Shows these clients.
        arrays: What the round begins with; they are sent.
        header: Of the round's messages.
        config: Of the experiment.
        round_index: That is about to begin.

    Returns:
        What :meth:`fedray.federation.strategies.ClientHalf.answer` returned at each, in the order of their nodes.

    Raises:
        FederationError: As of :func:`check_replies`.
        DivergedError: As of :func:`check_replies`.
    """
    asked = ConfigRecord({**header, ROUND: round_index})
    messages = [
        Message(RecordDict({ARRAYS: arrays, CONFIG: asked}), node, f"{MessageType.QUERY}.ask")
        for node in grid.get_node_ids()
    ]
    replies = grid.send_and_receive(messages, timeout=config.federation.round_timeout_s)
    answered = check_replies(messages, replies, round_index, config)
    return [from_record(reply.content.array_records[ARRAYS]) for reply in answered]


def check_replies(
    messages: list[Message], replies: Iterable[Message], round_index: int, config: ExperimentConfig
) -> list[Message]:
    """Return the good replies in client order, which fixes the order of summation.

    Raises:
        FederationError: More than ``federation.max_failed_share`` of the clients failed.
        DivergedError: The training of as many diverged.
    """
    replies = list(replies)
    answered = sorted((r for r in replies if not r.has_error()), key=lambda reply: reply.metadata.src_node_id)
    num_answered = sum(len(merged_nodes(reply)) for reply in answered)
    allowed = config.federation.max_failed_share * len(messages)
    if reasons := diverged(replies):
        if len(reasons) > allowed:
            raise DivergedError(reasons[0] + (f" (and {len(reasons) - 1} more clients)" if reasons[1:] else ""))
        logger.warning("round %d goes on without %d client(s): %s", round_index, len(reasons), "; ".join(reasons))
    if not answered or len(messages) - num_answered > allowed:
        raise FederationError(failure_text(messages, replies, round_index))
    return answered


def check_server(arrays: Arrays, moments: Arrays, round_index: int) -> None:
    """Refuse a round's result before it becomes the server's state.

    Raises:
        DivergedError: Naming the array and the round.
    """
    check_finite(arrays, f"round {round_index}, server")
    check_finite(moments, f"round {round_index}, moments of the server's optimiser")


def failure_text(messages: list[Message], replies: list[Message], round_index: int) -> str:
    """Say which clients of a round failed, and why."""
    failed = f"{len(failure_reasons(messages, replies))} of {len(messages)} clients failed"
    head = f"round {round_index}: {failed}, more than federation.max_failed_share:"
    return "\n".join([head, *failure_lines(messages, replies)])
