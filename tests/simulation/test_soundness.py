"""A reply that is not finite, or has no weight, spoils no model on this engine; on Flower's own it does."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    Krum,
)

from fedray.simulation import RayGrid, UnsoundRepliesError

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    partition, config = int(context.node_config["partition-id"]), message.content["config"]
    arrays = {"w": np.full(4, 1.0 + partition, np.float32), "n": np.array([partition])}
    if partition in config["broken"]:
        arrays["w"][2] = np.nan
    weight = 0 if config["empty"] else 1 + partition
    content = {
        "arrays": ArrayRecord({name: Array(value) for name, value in arrays.items()}),
        "metrics": MetricRecord({"num-examples": weight}),
    }
    return Message(RecordDict(content), reply_to=message)


MIN = {"min_available_nodes": 1, "min_train_nodes": 1, "fraction_evaluate": 0.0}


def start(pool, strategy, broken=(), empty=False):
    grid = RayGrid(app, 6, pool)
    try:
        initial = ArrayRecord({"w": Array(np.zeros(4, np.float32)), "n": Array(np.array([0]))})
        config = ConfigRecord({"broken": list(broken), "empty": empty})
        arrays = strategy.start(grid, initial, num_rounds=1, train_config=config).arrays
        return arrays["w"].numpy() if arrays else None
    finally:
        grid.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: FedAvg(**MIN),  # merged on the workers, as the next two
        lambda: FedAvgM(**MIN),
        lambda: FedAdam(**MIN),
        lambda: FedMedian(**MIN),
        lambda: FedTrimmedAvg(beta=0.25, **MIN),
        lambda: Krum(num_malicious_nodes=1, **MIN),
    ],
    ids=["FedAvg", "FedAvgM", "FedAdam", "FedMedian", "FedTrimmedAvg", "Krum"],
)
def test_a_round_with_broken_clients_is_the_round_without_them(pool, make):
    found = start(pool, make(), broken=[1, 4])
    assert np.isfinite(found).all() and found[0] != 0
    np.testing.assert_array_equal(found, found[0])  # also at the place of the NaN
    if type(make()) is FedAvg:
        weights = np.array([1, 3, 4, 6])
        np.testing.assert_allclose(found, weights @ weights / weights.sum(), rtol=1e-6)


def test_differential_privacy_skips_a_round_with_a_broken_client(pool):
    """As Flower does with any failure: the noise was made for the clients that were asked."""
    strategy = DifferentialPrivacyServerSideFixedClipping(FedAvg(**MIN), 0.1, 100.0, 6)
    assert start(pool, strategy, broken=[1]) is None
    strategy = DifferentialPrivacyServerSideFixedClipping(FedAvg(**MIN), 0.1, 100.0, 6)
    assert np.isfinite(start(pool, strategy)).all()


@pytest.mark.parametrize("make", [FedAvg, FedMedian])
def test_a_round_in_which_nobody_can_be_aggregated_ends_with_the_reason(pool, make):
    with pytest.raises(UnsoundRepliesError, match=r"node \d+: its array 'w' is not finite"):
        start(pool, make(**MIN), broken=range(6))
    with pytest.raises(UnsoundRepliesError, match="all 6 replies of this round report 'num-examples' 0"):
        start(pool, make(**MIN), empty=True)
