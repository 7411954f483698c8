"""What is said of clients that failed or did not answer."""

from collections.abc import Iterable

from flwr.app import Message

from fedray.errors import UserError
from fedray.simulation import merged_nodes

_SHOWN = 5


class FederationError(UserError, RuntimeError):
    """A round failed: too many of its clients did not answer. The message names the clients and their reasons."""


def failure_lines(messages: Iterable[Message], replies: Iterable[Message]) -> list[str]:
    """Say of the first clients without a good reply why, a line each.

    Args:
        messages: What was sent.
        replies: What came back, in any order.
    """
    reasons = failure_reasons(messages, replies)
    lines = [f"  - client node {node}: {reason}" for node, reason in sorted(reasons.items())[:_SHOWN]]
    return lines + ([f"  - and {len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else [])


def failure_reasons(messages: Iterable[Message], replies: Iterable[Message]) -> dict[int, str | None]:
    """Return the reason of each client without a good reply, by node id. Arguments as of :func:`failure_lines`."""
    sent, reasons, heard = list(messages), dict[int, str | None](), set[int]()
    asked = {message.metadata.message_id: message.metadata.dst_node_id for message in sent}
    for reply in replies:
        if reply.has_error():  # of a node that has left, a SuperLink replies in its own name
            node = asked.get(reply.metadata.reply_to_message_id, reply.metadata.src_node_id)
            reasons[node] = reply.error.reason
        else:
            heard.update(merged_nodes(reply))
    silent = {message.metadata.dst_node_id for message in sent} - heard - reasons.keys()
    return reasons | dict.fromkeys(silent, "no reply within federation.round_timeout_s")
