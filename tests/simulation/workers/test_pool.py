import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable

import pytest
import ray
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from fedray.simulation import NoWorkerError, RayGrid, SimulationError, WorkerDiedError, WorkerPool, WorkerResources

app = ClientApp()


@app.train()
def train(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "pid": os.getpid()})}), reply_to=message)


def round_of(grid: RayGrid) -> set[int]:
    content = RecordDict()
    replies = grid.send_and_receive([Message(content, node, "train") for node in grid.get_node_ids()], timeout=120)
    assert len(replies) == len(list(grid.get_node_ids()))
    return {reply.content["metrics"]["pid"] for reply in replies}


def test_more_workers_than_fit_do_not_hold_up_those_that_do(ray_session):
    with WorkerPool(WorkerResources(num_workers=4, cpus_per_worker=2.5)) as pool:
        grid = RayGrid(app, 6, pool)
        assert len(round_of(grid)) == 1
        assert pool.run(abs, -2, timeout_s=60) == 2


def test_nothing_can_start(ray_session):
    with WorkerPool(WorkerResources(2, cpus_per_worker=64, gpus_per_worker=1), start_timeout_s=1) as pool:
        grid = RayGrid(app, 2, pool)
        with pytest.raises(NoWorkerError, match=r"2 worker\(s\) of 64 CPU and 1 GPU.*has 4 CPU, 0 GPU.*lower cpus"):
            round_of(grid)
        with pytest.raises(SimulationError, match="64 CPU"):
            pool.run(abs, -2, timeout_s=60)


def test_a_setup_that_fails_is_the_error(ray_session):
    def setup() -> None:
        raise ImportError("no module named acme")

    with (
        WorkerPool(WorkerResources(1, cpus_per_worker=0.1), setup=setup) as pool,
        pytest.raises(NoWorkerError, match="acme"),
    ):
        pool.run(abs, -2, timeout_s=200)


def test_setup_and_thread_counts_come_before_anything_else(ray_session, tmp_path):
    marker = tmp_path / "ran"

    def setup() -> None:
        marker.write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")

    with WorkerPool(WorkerResources(1, cpus_per_worker=2), setup=setup) as pool:
        pid = pool.run(os.getpid, timeout_s=120)
        assert marker.read_text() == f"{pid} 2"


def test_closing_is_idempotent_and_leaves_ray_alone(ray_session):
    pool = WorkerPool(WorkerResources(1, cpus_per_worker=0.1))
    pool.run(abs, -2, timeout_s=120)
    pool.close()
    pool.close()
    assert ray.is_initialized()
    with pytest.raises(SimulationError, match="closed"):
        pool.run(abs, -2, timeout_s=10)
    grid = RayGrid(app, 2, pool)
    with pytest.raises(SimulationError, match="closed"):
        round_of(grid)


napping = ClientApp()


@napping.train()
def nap(message, context):
    threading.Event().wait(0.02)
    return train(message, context)


def rounds_until(grid: RayGrid, done: Callable[[int], bool]) -> int:
    """Run rounds until the number of workers in one is as it should be, and return it."""
    give_up_at = time.monotonic() + 60
    while True:
        round_of(grid)
        if done(grid.timing.num_workers):
            return grid.timing.num_workers
        assert time.monotonic() < give_up_at, grid.timing


def test_a_pool_grows_into_the_room_that_comes_free(ray_session, monkeypatch):
    monkeypatch.setattr("fedray.simulation.workers.pool._LOOK_FOR_ROOM_S", 0.0)
    in_the_way = placement_group([{"CPU": ray.available_resources()["CPU"] - 1.5}])
    ray.get(in_the_way.ready(), timeout=60)
    with WorkerPool(WorkerResources(num_workers=1, cpus_per_worker=1), grow_to=2) as pool:
        grid = RayGrid(napping, 12, pool)
        for _ in range(3):
            assert len(round_of(grid)) == 1
        remove_placement_group(in_the_way)
        rounds_until(grid, lambda number: number == 2)
        for _ in range(3):
            assert len(round_of(grid)) == 2


@ray.remote(num_cpus=0)
class Meeting:
    """Whoever arrives waits until two are there."""

    def __init__(self) -> None:
        self.num_there, self.complete = 0, asyncio.Event()

    async def arrive(self) -> None:
        self.num_there += 1
        if self.num_there == 2:
            self.complete.set()
        await self.complete.wait()


@ray.remote(num_cpus=0.5)
class Trial:
    def run(self, meeting: ray.actor.ActorHandle) -> tuple[int, str]:
        with WorkerPool(WorkerResources(num_workers=4, cpus_per_worker=1)) as pool:
            grid = RayGrid(app, 8, pool)
            pids = round_of(grid)
            ray.get(meeting.arrive.remote(), timeout=120)
            group = pool.run(lambda: ray.get_runtime_context().get_placement_group_id(), timeout_s=60)
            return len(pids | round_of(grid)), group


def test_two_trials_in_two_placement_groups_at_once(ray_session):
    """As two Tune trials do: each an actor in its own group, each wanting more workers than its group holds."""
    groups = [placement_group([{"CPU": 0.5}, {"CPU": 1}]) for _ in range(2)]
    ray.get([group.ready() for group in groups], timeout=60)
    meeting = Meeting.remote()
    trials = []
    for group in groups:
        strategy = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
        trials.append(Trial.options(scheduling_strategy=strategy).remote())
    results = ray.get([trial.run.remote(meeting) for trial in trials], timeout=200)
    assert results == [(1, group.id.hex()) for group in groups]
    for actor in (*trials, meeting):
        ray.kill(actor)
    for group in groups:
        remove_placement_group(group)


def test_errors_survive_pickle():
    for error in (SimulationError("a"), NoWorkerError("b"), WorkerDiedError("c")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.parametrize("bad", [{"num_workers": 0}, {"cpus_per_worker": -1}, {"gpus_per_worker": float("nan")}])
def test_resources_are_checked(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        WorkerResources(**{"num_workers": 1, **bad})
