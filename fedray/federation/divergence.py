"""How a client says that its training diverged, and how the server understands it: as an answer, not as a crash."""

import math
from collections.abc import Iterable, Mapping

from flwr.app import Context, Error, Message
from flwr.clientapp.typing import ClientAppCallable

from fedray.learning import DivergedError

DIVERGED = 1001
"""Code of the error reply of a client whose training diverged; Flower's own codes end below 100."""

LOSS_LIMIT = 1e6
"""A mean loss beyond this has exploded: WGAN-GP's stay within tens when training works."""


def report_divergence(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Reply with an error of its own code where the app finds that training diverged. A mod of the ClientApp.

    Nothing of such a round leaves the client or stays with it: the next one starts from its last good state.
    """
    try:
        return call_next(message, context)
    except DivergedError as error:
        return Message(Error(DIVERGED, str(error)), reply_to=message)


def diverged(replies: Iterable[Message]) -> list[str]:
    """Return what the clients say whose training diverged, in the order of the clients."""
    failed = sorted((reply for reply in replies if reply.has_error()), key=lambda reply: reply.metadata.src_node_id)
    return [str(reply.error.reason) for reply in failed if reply.error.code == DIVERGED]


def check_losses(losses: Mapping[str, float], where: str, limit: float = math.inf) -> None:
    """Refuse losses that are not finite or exceed a limit.

    Args:
        losses: By name.
        where: Begins the message, such as ``round 3``.
        limit: Largest magnitude.

    Raises:
        DivergedError: Naming the loss, its value and the round.
    """
    for name, value in losses.items():
        if not math.isfinite(value) or abs(value) > limit:
            raise DivergedError(f"{where}: {name} is {value:g}; smaller learning rates may help")


def check_convergence(losses: Mapping[str, float], round_index: int) -> None:
    """Refuse a round's mean losses that are not finite or exceed :data:`LOSS_LIMIT`.

    Raises:
        DivergedError: Naming the loss, its value and the round.
    """
    check_losses(losses, f"round {round_index}", LOSS_LIMIT)
