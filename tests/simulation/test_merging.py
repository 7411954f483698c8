from types import SimpleNamespace

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
    FedProx,
    Krum,
)
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords, aggregate_metricrecords

from fedray.simulation import RayGrid, mergeable, merged_nodes
from fedray.simulation.merging import MergeRule, calling_strategy, merge_rule
from fedray.simulation.running_mean import RunningMean

RULE = MergeRule("num-examples", aggregate_metricrecords, with_arrays=True)


def reply(value: float, weight: float = 1, dtype: str = "float32", **changes) -> RecordDict:
    rng = np.random.default_rng(int(value))
    arrays = {"w": rng.normal(size=(3, 4)).astype(dtype) + value, "b": np.array(value), "n": np.array([3, 4])}
    metrics = {"num-examples": weight, "loss": value, "parts": [value, 2 * value], **changes}
    return RecordDict(
        {"arrays": ArrayRecord({name: Array(np.asarray(a)) for name, a in arrays.items()}), "m": MetricRecord(metrics)}
    )


def merge(contents: list[RecordDict], rule: MergeRule = RULE) -> RecordDict:
    mean = RunningMean(rule)
    assert all(mean.add(node_id, content) for node_id, content in enumerate(contents))
    return mean.content()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "int32"])
def test_two_stages_give_what_flowers_average_gives_in_one(dtype):
    contents = [reply(value, weight, dtype) for value, weight in ((1, 10), (2, 1), (3, 999), (4, 5), (5, 0.5))]
    staged = [merge(contents[:2]), merge(contents[2:])]
    tolerance = {"float16": 2e-3, "float32": 1e-6, "complex64": 1e-6}.get(dtype, 1e-12)
    ours, theirs = (aggregate_arrayrecords(records, "num-examples") for records in (staged, contents))
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype
        np.testing.assert_allclose(ours[name].numpy(), theirs[name].numpy(), rtol=tolerance)
    ours, theirs = (aggregate_metricrecords(records, "num-examples") for records in (staged, contents))
    assert ours["loss"] == pytest.approx(theirs["loss"])
    assert ours["parts"] == pytest.approx(theirs["parts"])
    assert merge(contents)["m"]["num-examples"] == 1015.5


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12), ("float16", 2e-3), ("<c8", 1e-6)]
)
def test_large_arrays_are_summed_in_place(dtype, tolerance, order):
    arrays = [np.random.default_rng(i).uniform(1, 2, (400, 401)).astype(dtype, order=order) for i in range(3)]
    records = [
        RecordDict({"a": ArrayRecord([array]), "m": MetricRecord({"num-examples": i + 1})})
        for i, array in enumerate(arrays)
    ]
    expected = sum((i + 1) * array.astype("c16" if dtype == "<c8" else "f8") for i, array in enumerate(arrays)) / 6
    merged = merge(records)["a"]["0"].numpy()
    assert merged.dtype == dtype
    np.testing.assert_allclose(merged, expected, rtol=tolerance)


def test_half_precision_sums_do_not_overflow():
    contents = [reply(100, 5000, "float16") for _ in range(20)]
    assert np.isfinite(merge(contents)["arrays"]["w"].numpy()).all()


@pytest.mark.parametrize(
    "odd",
    [
        reply(2, weight=0),
        reply(2, weight=-1),
        reply(2, weight=float("nan")),
        reply(2, weight=float("inf")),
        reply(2, extra=1.0),
        reply(2, parts=[1.0]),
        reply(2, dtype="float64"),
        RecordDict({"arrays": reply(2)["arrays"]}),
        RecordDict({**reply(2), "more": ArrayRecord()}),
        RecordDict({"other": reply(2)["arrays"], "m": reply(2)["m"]}),
        RecordDict({"arrays": ArrayRecord([np.zeros(2)]), "m": reply(2)["m"]}),
    ],
)
def test_a_reply_unlike_the_others_stands_alone(odd):
    mean = RunningMean(RULE)
    assert mean.add(2, reply(1))
    assert not mean.add(3, odd)
    assert mean.node_ids == [2]
    np.testing.assert_array_equal(mean.content()["arrays"]["w"].numpy(), reply(1)["arrays"]["w"].numpy())


def test_replies_without_arrays_merge_for_evaluation():
    rule = MergeRule("num-examples", aggregate_metricrecords, with_arrays=False)
    contents = [RecordDict({"m": reply(value, value)["m"]}) for value in (1, 3)]
    merged = merge(contents, rule)
    assert merged["m"]["loss"] == pytest.approx(2.5)
    assert not merged.array_records
    assert not RunningMean(rule).add(2, reply(1))


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


app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    partition = context.node_config["partition-id"]
    context.state["seen"] = MetricRecord({"n": context.state["seen"]["n"] + 1 if "seen" in context.state else 1})
    if partition in message.content["config"]["failing"]:
        raise KeyError("no such tile")
    value = message.content["arrays"]["w"].numpy() + partition
    metrics = {"num-examples": partition + 1, "loss": float(partition), "seen": context.state["seen"]["n"]}
    return Message(
        RecordDict({"arrays": ArrayRecord({"w": Array(value)}), "m": MetricRecord(metrics)}), reply_to=message
    )


def messages(grid: RayGrid, size: int = 4, failing: list[int] | None = None) -> list[Message]:
    arrays = ArrayRecord({"w": Array(np.zeros(size))})
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"failing": failing or []})})
    return [Message(content, node_id, "train") for node_id in grid.get_node_ids()]


@pytest.mark.parametrize("size", [4, 100_000])
def test_a_grid_merges_for_a_strategy_that_takes_the_mean(pool, size):
    grid = RayGrid(app, 30, pool)
    strategy, expected = FedAvg(), sum((p + 1) * p for p in range(30)) / sum(p + 1 for p in range(30))
    for round_index in (1, 2, 3):
        replies = grid.exchange(messages(grid, size), strategy)
        assert sorted(node for reply in replies for node in merged_nodes(reply)) == grid.get_node_ids()
        arrays, metrics = strategy.aggregate_train(round_index, replies)
        np.testing.assert_allclose(arrays["w"].numpy(), expected, rtol=1e-12)
        assert metrics["loss"] == pytest.approx(expected)
        assert metrics["seen"] == pytest.approx(round_index)
        if size > 4:  # kept on the worker until the last lot is done
            assert len(replies) <= pool.resources.num_workers
    assert grid.timing.num_clients == 30
    assert grid.timing.num_replies == len(replies) < 30
    assert {reply.metadata.src_node_id for reply in grid.exchange(messages(grid), None)} == set(grid.get_node_ids())


def test_failures_stay_single_and_the_rest_is_the_mean_without_them(pool):
    grid = RayGrid(app, 10, pool)
    replies = grid.exchange(messages(grid, failing=[3, 7]), FedAvg())
    assert sorted(r.metadata.src_node_id for r in replies if r.has_error()) == [5, 9]
    arrays, _ = FedAvg().aggregate_train(1, replies)
    good = [p for p in range(10) if p not in (3, 7)]
    expected = sum((p + 1) * p for p in good) / sum(p + 1 for p in good)
    np.testing.assert_allclose(arrays["w"].numpy(), expected)
    assert sorted(node - 2 for node in grid.state_snapshot()) == good


def test_a_metrics_function_that_fails_is_an_error_not_a_hang(pool):
    def fail(records, weighted_by_key):
        raise ZeroDivisionError("my own")

    for size in (4, 100_000):
        grid = RayGrid(app, 4, pool)
        strategy = FedAvg(train_metrics_aggr_fn=mergeable(fail))
        replies = grid.exchange(messages(grid, size), strategy)
        assert all("my own" in reply.error.reason for reply in replies)
        assert len(replies) == 4


def test_timing_adds_up(pool):
    grid = RayGrid(app, 10, pool)
    grid.exchange(messages(grid), None)
    timing = grid.timing
    assert timing.num_clients == timing.num_replies == 10
    assert timing.num_workers in (1, 2)
    assert 0 < timing.dispatch_s <= timing.wall_s
    assert 0 <= timing.transfer_s <= timing.wall_s
    assert 0 < timing.utilisation <= 1
    assert timing.compute_s <= timing.num_workers * timing.wall_s
    assert set(timing.parts) == {"dispatch", "compute", "merge", "transfer"}
    grid.send_and_receive([])
    assert grid.timing is timing
    assert "10 client(s)" in str(timing)
    assert SimpleNamespace(**timing.parts).merge == 0
