"""A reply that is not finite, or has no weight, spoils no model on this engine; on Flower's own it does."""

import math

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.app.message.message import make_message
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
from fedray.simulation.finite import is_finite
from fedray.simulation.soundness import sound_replies


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_broken_number_among_many_is_found(dtype, order, bad):
    array = np.random.default_rng(1).normal(size=(40, 50)).astype(dtype, order=order)
    assert is_finite(array) and is_finite(array[::3, ::2])
    array[30, 6] = bad
    assert not is_finite(array) and not is_finite(array[::3, ::2])


def test_large_numbers_and_other_dtypes_are_no_broken_ones():
    for dtype in ("float16", "float32", "float64"):
        assert is_finite(np.full(100, np.finfo(dtype).max))
    for array in (np.array([2**62]), np.array([True]), np.array(["nan"]), np.array(3.0), np.empty((0, 4))):
        assert is_finite(array)
    assert not is_finite(np.array(math.nan))


def reply(node_id, value=1.0, weight=10.0, kind="train"):
    from flwr.app import Metadata

    metadata = Metadata(1, f"reply {node_id}", node_id, 1, f"message {node_id}", "", 0.0, 10.0, kind)
    records = {"metrics": MetricRecord({"num-examples": weight, "loss": 1.0})}
    if kind == "train":
        arrays = {"fine": Array(np.ones(3, np.float32)), "w": Array(np.array([1.0, value], np.float32))}
        records["arrays"] = ArrayRecord(arrays)
    return make_message(metadata, RecordDict(records))


@pytest.mark.parametrize(
    ("value", "weight", "cause"),
    [
        (math.nan, 10.0, "its array 'w' is not finite"),
        (-math.inf, 10.0, "its array 'w' is not finite"),
        (1.0, math.nan, "its 'num-examples' is nan"),
        (1.0, math.inf, "its 'num-examples' is inf"),
        (1.0, -5.0, "its 'num-examples' is -5"),
    ],
)
@pytest.mark.parametrize("strategy", [FedAvg(), FedMedian(), Krum()])
def test_a_broken_reply_becomes_a_failure_that_says_why(value, weight, cause, strategy):
    sent = [reply(1), reply(2, value, weight), reply(3)]
    got = sound_replies(sent, strategy)
    assert (got[0], got[2]) == (sent[0], sent[2])
    assert got[1].has_error() and cause in got[1].error.reason
    assert got[1].metadata.src_node_id == 2
    with pytest.raises(UnsoundRepliesError, match=rf"no reply of this round can be aggregated: node 2: {cause}"):
        sound_replies([sent[1]], strategy)


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_replies_without_any_weight_are_refused_and_some_with_none_are_not(kind):
    none = [reply(node, weight=0.0, kind=kind) for node in (1, 2)]
    failed = make_message(reply(3).metadata, error=Error(0, "of its own"))
    with pytest.raises(UnsoundRepliesError, match="all 2 replies of this round report 'num-examples' 0"):
        sound_replies([*none, failed], FedAvg())
    some = [*none, reply(4, weight=3.0, kind=kind), failed]
    assert sound_replies(some, FedAvg()) == some
    assert sound_replies([failed], FedAvg()) == [failed]  # the strategy skips the round, as on Flower's engine


def test_who_is_no_strategy_gets_what_there_is_and_metrics_may_be_nan():
    broken = [reply(1, math.nan), reply(2, weight=0.0)]
    assert sound_replies(broken, None) == broken
    evaluated = reply(3, kind="evaluate")
    evaluated.content["metrics"]["loss"] = math.nan
    assert sound_replies([evaluated], FedAvg()) == [evaluated]


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
