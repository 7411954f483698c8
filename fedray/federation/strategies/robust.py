"""What robust strategies have in common: they leave out replies that are not finite."""

import logging
from collections.abc import Iterable

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg

from fedray.errors import UserError
from fedray.simulation import first_not_finite

logger = logging.getLogger(__name__)


class TooFewRepliesError(UserError, RuntimeError):
    """A robust strategy was left with too few replies to protect from anybody."""


class FiniteReplies(FedAvg):
    """Leaves replies that are not finite out, as a robust strategy must: one NaN is in every median and distance.

    FedRay's own clients say themselves that they diverged. This is for those that do not: a client can send anything.
    """

    min_replies: int
    """What is left must be as many."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate the replies that are finite."""
        answered = list(replies)
        broken = {
            reply.metadata.src_node_id: name
            for reply in answered
            if reply.has_content() and (name := first_not_finite(reply.content)) is not None
        }
        finite = [reply for reply in answered if reply.metadata.src_node_id not in broken]
        if broken:
            told = ", ".join(f"node {node}: {name}" for node, name in sorted(broken.items())[:3])
            text = f"round {server_round}: {len(broken)} of {len(answered)} replies are not finite ({told})"
            if len(finite) < self.min_replies:
                raise TooFewRepliesError(
                    f"{text}, and {len(finite)} are too few to protect from anybody: {self.min_replies} are needed; "
                    "take more clients"
                )
            logger.warning("%s; they are left out", text)
        return super().aggregate_train(server_round, finite)
