"""Aggregation rules by name, over Flower's strategies."""

from collections.abc import Iterable
from typing import cast

from flwr.app import MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from fedray.config import FederationConfig
from fedray.federation.messages import ARRAYS, CONFIG, METRICS, WEIGHT
from fedray.simulation import mergeable


def fedavg() -> Strategy:
    """Federated averaging weighted by client size (McMahan et al. 2017, arXiv 1602.05629)."""
    return FedAvg(
        # Which clients take part is drawn before the strategy is asked (rounds.py), from a named stream.
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=1,
        min_available_nodes=1,
        weighted_by_key=WEIGHT,
        arrayrecord_key=ARRAYS,
        configrecord_key=CONFIG,
        train_metrics_aggr_fn=mean_losses,
    )


STRATEGIES = {"fedavg": fedavg}


def make_strategy(federation: FederationConfig) -> Strategy:
    """Build the configured strategy."""
    return STRATEGIES[federation.strategy]()


@mergeable
def mean_losses(replies: Iterable[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Average each network's losses over the steps that all clients took, and count tiles and steps.

    A client whose round was too short for a generator step has no say in the generator's losses.
    """
    records = [reply.metric_records[METRICS] for reply in replies]
    totals = {name: sum(_number(record, name) for record in records) for name in _COUNTS}
    means = MetricRecord({name: float(total) for name, total in totals.items()})
    for name in records[0]:
        if name not in _COUNTS:
            steps = f"{name.split('/')[0]}-steps"
            weighted = sum(_number(record, name) * _number(record, steps) for record in records)
            means[name] = weighted / max(1.0, totals[steps])
    return means


_COUNTS = (WEIGHT, "discriminator-steps", "generator-steps")


def _number(record: MetricRecord, name: str) -> float:
    return float(cast(float, record[name]))
