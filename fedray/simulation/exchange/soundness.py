"""Replies that would spoil an aggregate without a word: arrays that are not finite, weights that are none."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from ..errors import UnsoundRepliesError
from ..wire.arrays import items_of
from ..wire.finite import first_not_finite
from ..wire.messages import error_in_place_of


def sound_replies(replies: list[Message], strategy: Strategy | None) -> list[Message]:
    """Replace replies that must not enter a mean, a median or a distance by error replies, which strategies leave out.

    Flower's strategies average what comes: one NaN is in every weight of the next model, and with 0 examples in all
    replies they divide by zero.

    Args:
        replies: To messages that a strategy has sent.
        strategy: Who will aggregate them; None: another caller, who gets what there is.

    Raises:
        UnsoundRepliesError: No reply is left, or all that are left weigh nothing.
    """
    if strategy is None:
        return replies
    weight_key = _weight_key(strategy)
    causes = {id(reply): cause for reply in replies if (cause := _unsound(reply, weight_key))}
    left = [reply for reply in replies if not reply.has_error() and id(reply) not in causes]
    if causes and not left:
        raise UnsoundRepliesError(f"no reply of this round can be aggregated: {_listed(causes, replies)}; {_REMEDY}")
    weights = [weight for reply in left if (weight := _weight(reply.content, weight_key)) is not None]
    if left and len(weights) == len(left) and not any(weights):
        raise UnsoundRepliesError(
            f"all {len(left)} replies of this round report {weight_key!r} 0, so there is no mean of them; give the "
            "clients data, or have those answer that have some"
        )
    return [_left_out(reply, causes[id(reply)]) if id(reply) in causes else reply for reply in replies]


_REMEDY = "smaller learning rates, or a look at these clients' data, may help"


def _weight_key(strategy: Strategy) -> str | None:
    inner = getattr(strategy, "strategy", strategy)  # Flower's wrappers for differential privacy
    return inner.weighted_by_key if isinstance(inner, FedAvg) else None


def _unsound(reply: Message, weight_key: str | None) -> str | None:
    """Say what is wrong with a reply, None if it is sound or says itself that it failed."""
    if reply.has_error():
        return None
    is_train = reply.metadata.message_type.partition(".")[0] == MessageType.TRAIN
    if is_train and (name := first_not_finite(reply.content)) is not None:
        return f"its array {name!r} is not finite"
    weight = _weight(reply.content, weight_key)
    if weight is not None and not 0 <= weight < math.inf:
        return f"its {weight_key!r} is {weight:g}"
    return None


def _weight(content: RecordDict, weight_key: str | None) -> float | None:
    """Return what a reply weighs; None where that is not said as Flower wants it, which its strategy will say."""
    found = [weight for record in _metrics(content) if isinstance(weight := record.get(weight_key), int | float)]
    return float(found[0]) if len(found) == 1 else None


def _metrics(content: RecordDict) -> Iterator[Mapping[Any, Any]]:
    return (items_of(record) for record in items_of(content).values() if isinstance(record, MetricRecord))


def _listed(causes: Mapping[int, str], replies: list[Message], at_most: int = 3) -> str:
    told = [f"node {r.metadata.src_node_id}: {causes[id(r)]}" for r in replies if id(r) in causes]
    return "; ".join(told[:at_most]) + (f"; and {len(told) - at_most} more" if len(told) > at_most else "")


def _left_out(reply: Message, cause: str) -> Message:
    return error_in_place_of(reply, f"left out of the aggregation: {cause}")
