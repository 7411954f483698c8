import numpy as np
import pytest
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    Krum,
)
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from fedray.simulation import mergeable
from fedray.simulation.wire.merging import calling_strategy, merge_rule


def only_the_mean(records, weighted_by_key):
    return aggregate_metricrecords(records, weighted_by_key)


class Saving(FedAvg):
    def aggregate_train(self, server_round, replies):
        return super().aggregate_train(server_round, replies)


class Declared(FedAvg):
    @mergeable
    def aggregate_train(self, server_round, replies):
        return super().aggregate_train(server_round, replies)


class Peeking(FedAvg):
    def _check_and_log_replies(self, replies, is_train, validate=True):
        return super()._check_and_log_replies(replies, is_train, validate)


@pytest.mark.parametrize(
    ("strategy", "train", "evaluate"),
    [
        (FedAvg(), True, True),
        (FedProx(), True, True),
        (FedAvgM(), True, True),
        (FedAdam(), True, True),
        (FedMedian(), False, True),
        (Krum(), False, True),
        (DifferentialPrivacyServerSideFixedClipping(FedAvg(), 0.0, 1.0, 2), False, False),
        (FedAvg(train_metrics_aggr_fn=only_the_mean), False, True),
        (FedAvg(evaluate_metrics_aggr_fn=only_the_mean), True, False),
        (FedAvg(train_metrics_aggr_fn=mergeable(lambda records, key: MetricRecord())), True, True),
        (Saving(), False, True),
        (Declared(), True, True),
        (Peeking(), False, False),
        (None, False, False),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bool) else str(value),
)
def test_only_strategies_that_take_the_mean_get_merged_replies(strategy, train, evaluate):
    assert (merge_rule(strategy, "train") is not None) == train
    assert (merge_rule(strategy, "train.custom") is not None) == train
    assert (merge_rule(strategy, "evaluate") is not None) == evaluate
    assert merge_rule(strategy, "query") is None


def test_the_strategy_that_asks_is_found_through_a_proxy():
    asked = []

    class Proxy:
        def send_and_receive(self, messages, *, timeout=None):
            asked.append(calling_strategy())
            return []

        def get_node_ids(self):
            return [2, 3]

    strategy = FedAvg(fraction_train=0.0, fraction_evaluate=0.0)
    strategy.start(Proxy(), ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert asked == [strategy, strategy]
    assert calling_strategy() is None
