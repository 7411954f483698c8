"""Which strategies take one weighted mean for the single replies, so that it can be made where the replies are.

A weighted mean of weighted means, each with the sum of its weights, is the weighted mean of all. So a worker can answer
for all its clients with one reply, and a strategy that only averages cannot tell the difference but by rounding.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, Strategy
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

MERGED = "fedray.merged"
"""ConfigRecord of a merged reply; ``node-ids`` says whose replies it stands for."""

MergeMetrics = Callable[[list[RecordDict], str], MetricRecord]
_Function = TypeVar("_Function", bound=Callable[..., Any])

# FedProx has FedAvg's own. The others change the mean that FedAvg's returns, and do not look at replies themselves.
_MERGEABLE: set[Callable[..., Any]] = {
    aggregate_metricrecords,
    FedAvg.aggregate_evaluate,
    *(kind.aggregate_train for kind in (FedAvg, FedAvgM, FedAdagrad, FedAdam, FedYogi)),
}


def mergeable(function: _Function) -> _Function:
    """Declare (as a decorator) that a function gives the same when it is applied in stages.

    For an override of ``aggregate_train`` that looks at replies only through ``super()``, and for an aggregation of
    metrics ``(list[RecordDict], weighted_by_key) -> MetricRecord`` of which the result is itself such a record.
    """
    _MERGEABLE.add(function)
    return function


@dataclass(frozen=True)
class MergeRule:
    """How replies may be merged into one.

    Attributes:
        weight_key: The metric that a reply is weighted by.
        merge_metrics: Aggregates MetricRecords.
        with_arrays: Whether replies carry arrays.
    """

    weight_key: str
    merge_metrics: MergeMetrics
    with_arrays: bool

    @property
    def means_of_metrics(self) -> bool:
        """Whether metrics are aggregated by Flower's own weighted mean."""
        return self.merge_metrics is aggregate_metricrecords


def merge_rule(strategy: Strategy | None, message_type: str) -> MergeRule | None:
    """Return how replies for this strategy may be merged, None if it must see every one."""
    if not isinstance(strategy, FedAvg):
        return None
    kind = type(strategy)
    if kind._check_and_log_replies is not FedAvg._check_and_log_replies:
        return None
    if message_type.partition(".")[0] == MessageType.TRAIN:
        aggregate: Callable[..., Any] = kind.aggregate_train
        merge_metrics, with_arrays = strategy.train_metrics_aggr_fn, True
    elif message_type.partition(".")[0] == MessageType.EVALUATE:
        aggregate = kind.aggregate_evaluate
        merge_metrics, with_arrays = strategy.evaluate_metrics_aggr_fn, False
    else:
        return None
    if aggregate not in _MERGEABLE or merge_metrics not in _MERGEABLE:
        return None
    return MergeRule(strategy.weighted_by_key, merge_metrics, with_arrays)


def calling_strategy() -> Strategy | None:
    """Find the strategy whose ``start`` is asking, None if it is another caller.

    Flower's ``Strategy.start`` does not tell the grid who asks, so its frame on the stack has to. An override of
    ``start`` is not recognised, and gets single replies.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not Strategy.start.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    strategy: Strategy | None = None if frame is None else frame.f_locals["self"]
    return strategy


def merged_nodes(reply: Message) -> list[int]:
    """Return the ids of the nodes that a reply stands for: one, unless workers merged it."""
    if reply.has_content() and MERGED in reply.content:
        return list(reply.content.config_records[MERGED]["node-ids"])  # type: ignore[arg-type]
    return [reply.metadata.src_node_id]
