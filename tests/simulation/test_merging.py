from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from fedray.simulation import RayGrid, mergeable, merged_nodes

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
