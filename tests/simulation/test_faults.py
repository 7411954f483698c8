import os
import pickle
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp.strategy import FedAvg
from ray._private.internal_api import free

from fedray.simulation import (
    DeadlineExceededError,
    RayGrid,
    StateLostError,
    WorkerDiedError,
    WorkerPool,
    WorkerResources,
    merged_nodes,
)
from tests.support.loopback import wait_until

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train, or first do what the message says: `hang` for ever, or `die` (once if `marker` says a file's name)."""
    config = message.content["config"]
    if config["do"] == "nap":
        threading.Event().wait(0.5)
    if context.node_config["partition-id"] == config["node"]:
        if config["do"] == "hang":  # for ever
            threading.Event().wait()
        if config["do"] == "die" and not (config["marker"] and Path(config["marker"]).exists()):
            if config["marker"]:
                Path(config["marker"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    momentum = context.state["momentum"]["m"].numpy() if "momentum" in context.state else 0.0
    momentum = 0.5 * momentum + message.content["arrays"]["w"].numpy() + context.node_config["partition-id"]
    context.state["momentum"] = ArrayRecord({"m": Array(momentum)})
    content = {"arrays": ArrayRecord({"w": Array(momentum)}), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(content), reply_to=message)


@pytest.fixture(scope="module")
def two_workers(ray_session):
    with WorkerPool(WorkerResources(num_workers=2, cpus_per_worker=0.25)) as pool:
        yield pool


@pytest.fixture
def pool(two_workers):
    """Both are up: the test before may have killed one, and the next one takes seconds to start."""
    wait_until(lambda: len(two_workers.dispatcher._crew.up) == 2, "both workers")
    return two_workers


@pytest.fixture
def grid(pool):
    grid = RayGrid(app, 4, pool)
    yield grid
    grid.close()


def messages(
    grid: RayGrid, do: str = "", node: int = 2, marker: str = "", ttl: float | None = None, size: int = 3
) -> list[Message]:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"w": Array(np.ones(size))}),
            "config": ConfigRecord({"do": do, "node": node, "marker": marker}),
        }
    )
    # A time to live is that of the client it is about: on a busy machine others would wait longer for a new worker.
    return [
        Message(content, node_id, "train", ttl=ttl if client == node else None)
        for client, node_id in enumerate(grid.get_node_ids())
    ]


def arrays(replies: list[Message]) -> np.ndarray:
    ordered = sorted(replies, key=lambda reply: reply.metadata.src_node_id)
    return np.stack([reply.content["arrays"]["w"].numpy() for reply in ordered])


def test_a_killed_worker_changes_nothing(pool, grid, tmp_path):
    undisturbed = RayGrid(app, 4, pool)
    for round_index in range(3):
        expected = arrays(undisturbed.send_and_receive(messages(undisturbed)))
        do = "die" if round_index == 1 else ""
        got = arrays(grid.send_and_receive(messages(grid, do, marker=str(tmp_path / "died"))))
        np.testing.assert_array_equal(got, expected)
    assert (tmp_path / "died").exists()


def test_a_message_that_kills_every_worker_gets_an_error_reply(grid):
    replies = grid.send_and_receive(messages(grid, "die"))
    (bad,) = (reply for reply in replies if reply.has_error())
    assert bad.error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "3 of 3 times" in bad.error.reason
    assert bad.metadata.src_node_id == grid.get_node_ids()[2]
    assert len(replies) == 4
    assert len(grid.state_snapshot()) == 3


def test_idle_workers_that_died_are_noticed_before_they_cost_a_message_its_tries(pool):
    grid = RayGrid(app, 4, pool, max_tries=2)
    grid.send_and_receive(messages(grid))
    pids = {pool.run(os.getpid, timeout_s=60) for _ in range(6)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert arrays(grid.send_and_receive(messages(grid))).shape == (4, 3)


def test_a_state_that_is_lost_for_good_gets_an_error_reply_and_a_snapshot_goes_on(grid):
    first, *_ = grid.get_node_ids()
    grid.send_and_receive(messages(grid, size=50_000))
    snapshot = pickle.loads(pickle.dumps(grid.state_snapshot()))  # out of the object store
    free([grid._states.get(first).parcel.reference])
    (bad,) = (reply for reply in grid.send_and_receive(messages(grid, size=50_000)) if reply.has_error())
    assert (bad.metadata.src_node_id, bad.error.code) == (first, ErrorCode.CLIENT_APP_CRASHED)
    assert "message 'train' to client 0: its state was lost" in bad.error.reason
    assert "RayGrid.restore_state" in bad.error.reason
    with pytest.raises(StateLostError, match=r"one of 4 clients .+ObjectFreedError.+restore_state"):
        grid.state_snapshot()
    grid.restore_state(snapshot)
    assert not any(reply.has_error() for reply in grid.send_and_receive(messages(grid, size=50_000)))


def test_a_client_that_never_returns_costs_its_reply_only(grid):
    grid.send_and_receive(messages(grid))
    replies = grid.send_and_receive(messages(grid, "hang"), timeout=3)
    assert {reply.metadata.src_node_id for reply in replies} == set(grid.get_node_ids()) - {grid.get_node_ids()[2]}
    after = arrays(grid.send_and_receive(messages(grid)))
    assert after.shape == (4, 3)
    # Client 2 went through two rounds, the others through three.
    np.testing.assert_allclose(after[:, 0], [1.75, 3.5, 4.5, 7.0])


def test_a_mean_is_fetched_while_another_worker_still_computes(pool, tmp_path):
    gate, visits = tmp_path / "gate", tmp_path / "visits"
    gated = ClientApp()

    @gated.train()
    def visit(message: Message, context: Context) -> Message:
        with visits.open("a") as file:
            file.write(f"{context.node_config['partition-id']} {os.getpid()}\n")
        while context.node_config["partition-id"] == 0 and not gate.exists():
            threading.Event().wait(0.02)
        content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    grid, replies = RayGrid(gated, 4, pool), list[Message]()
    exchange = threading.Thread(target=lambda: replies.extend(grid.exchange(messages(grid, size=20_000), FedAvg())))
    exchange.start()
    try:
        wait_until(lambda: bool(visitors_beside(visits, client=0)), "all other clients")
        wait_until(lambda: len(grid._finished) == len(visits.read_text().splitlines()) - 1, "their mean")
        os.kill(visitors_beside(visits, client=0), signal.SIGKILL)
    finally:
        gate.touch()
        exchange.join()
        grid.close()
    assert sorted(line.split()[0] for line in visits.read_text().splitlines()) == ["0", "1", "2", "3"]
    assert sorted(node for reply in replies for node in merged_nodes(reply)) == grid.get_node_ids()
    np.testing.assert_allclose(mean(replies), np.ones(20_000))


def visitors_beside(visits: Path, client: int) -> int:
    """Return the process of all other clients, 0 as long as they have not all run there."""
    processes = dict(line.split() for line in visits.read_text().splitlines()) if visits.exists() else {}
    own = processes.pop(str(client), None)
    others = set(processes.values())
    return int(others.pop()) if own and len(processes) == 3 and len(others) == 1 and own not in others else 0


@pytest.mark.parametrize("where", ["ttl", "reply_timeout_s"])
def test_a_message_has_a_deadline_of_its_own(pool, where):
    grid = RayGrid(app, 4, pool, reply_timeout_s=2 if where == "reply_timeout_s" else None)
    grid.send_and_receive(messages(grid))
    last = messages(grid, "hang", node=3, ttl=5 if where == "ttl" else None)
    replies = grid.send_and_receive(last)
    assert len(replies) == 4
    (late,) = (reply for reply in replies if reply.has_error())
    assert late.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert "'train' to client 3" in late.error.reason
    assert not any(reply.has_error() for reply in grid.send_and_receive(messages(grid)))


def test_closing_a_grid_frees_the_workers_it_held(pool):
    grid = RayGrid(app, 4, pool)
    grid.push_messages(messages(grid, "hang", node=0) + messages(grid, "hang", node=1))
    grid.close()
    later = RayGrid(app, 4, pool)
    assert len(later.send_and_receive(messages(later))) == 4


def test_run_survives_a_death_and_keeps_its_deadline(pool, tmp_path):
    marker = tmp_path / "died"

    def die_once() -> int:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 7

    assert pool.run(die_once, timeout_s=120) == 7
    with pytest.raises(WorkerDiedError, match="2 of 2 times"):
        pool.run(lambda: os.kill(os.getpid(), signal.SIGKILL), timeout_s=120, max_tries=2)
    with pytest.raises(DeadlineExceededError, match="deadline"):
        pool.run(lambda: threading.Event().wait(), timeout_s=1)
    assert pool.run(abs, -3, timeout_s=120) == 3


def mean(replies: list[Message]) -> np.ndarray:
    return FedAvg().aggregate_train(1, replies)[0]["w"].numpy()


@pytest.mark.parametrize("size", [3, 50_000])
def test_a_killed_worker_changes_no_mean(pool, tmp_path, size):
    """The small mean travels with every lot, the large one is lost with the worker: its clients run again."""
    grid, undisturbed = (RayGrid(app, 12, pool) for _ in range(2))
    for round_index in range(3):
        expected = mean(undisturbed.exchange(messages(undisturbed, size=size), FedAvg()))
        do = "die" if round_index == 1 else ""
        marker = str(tmp_path / "died")
        replies = grid.exchange(messages(grid, do, node=7, marker=marker, size=size), FedAvg())
        assert sorted(node for reply in replies for node in merged_nodes(reply)) == grid.get_node_ids()
        np.testing.assert_allclose(mean(replies), expected, rtol=1e-12)
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("merged", [True, False], ids=["merged", "single"])
@pytest.mark.parametrize("size", [3, 50_000])
def test_a_client_that_never_returns_costs_only_itself_within_the_deadline(pool, merged, size):
    """Clients that wait behind it run elsewhere, and what its worker had done before is saved."""
    grid, without = (RayGrid(app, 12, pool) for _ in range(2))
    strategy = FedAvg() if merged else None
    for each in (grid, without):
        each.exchange(messages(each, size=size), strategy)
    others = [message for message in messages(without, size=size) if message.metadata.dst_node_id != 2 + 5]
    expected = mean(without.exchange(others, strategy))
    replies = grid.exchange(messages(grid, "hang", node=5, size=size), strategy, timeout=4)
    assert {node for reply in replies for node in merged_nodes(reply)} == set(grid.get_node_ids()) - {7}
    np.testing.assert_allclose(mean(replies), expected, rtol=1e-12)
    after = grid.exchange(messages(grid, size=size), strategy)
    assert sum(len(merged_nodes(reply)) for reply in after) == 12


def test_the_limit_for_one_client_is_not_one_for_its_lot(pool):
    grid = RayGrid(app, 8, pool, reply_timeout_s=1.5)
    grid.exchange(messages(grid), None)
    replies = grid.exchange(messages(grid, "nap", node=-1), None)  # a lot takes longer than the limit
    assert not any(reply.has_error() for reply in replies)
    replies = grid.exchange(messages(grid, "hang", node=2), FedAvg())
    (late,) = (reply for reply in replies if reply.has_error())
    assert "'train' to client 2 was not finished within 1.5 s" in late.error.reason
    assert sum(len(merged_nodes(reply)) for reply in replies) == 8


def test_what_a_function_raises_is_what_the_caller_gets(pool):
    def fail() -> None:
        raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        pool.run(fail, timeout_s=60)

    def fail_like_ray() -> None:
        raise ray.exceptions.ActorDiedError("not me")

    workers = list(pool.dispatcher._crew.up)
    with pytest.raises(ray.exceptions.RayTaskError):
        pool.run(fail_like_ray, timeout_s=60)
    pool.run(os.getpid, timeout_s=60)  # whatever the error led to has happened
    assert pool.dispatcher._crew.up == workers
