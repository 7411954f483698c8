import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from ray import cloudpickle

from fedray.simulation import RayGrid, WorkerPool, WorkerResources
from tests.support import strategies_app as app

Results = dict[str, np.ndarray]  # by strategy/arrays/name or strategy/train or evaluate/round/metric


@pytest.fixture(scope="module", autouse=True)
def app_by_value() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(app)
    yield
    cloudpickle.unregister_pickle_by_value(app)


def load(path: Path) -> Results:
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def stock_process(
    ray_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Flower's own engine at work, in a process of its own because it leaves Ray at its end."""
    folder = tmp_path_factory.mktemp("stock")
    environment = os.environ | {"RAY_ADDRESS": ray_address}
    command = [sys.executable, app.__file__, str(folder / "found.npz")]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        yield process, folder
        if process.poll() is None:
            process.terminate()


def run_on(pool: WorkerPool, out: Path) -> Results:
    grid = RayGrid(app.client_app, app.NUM_CLIENTS, pool)
    app.make_server_app(str(out))(grid=grid, context=Context(grid.run.run_id, 0, {}, RecordDict(), {}))
    grid.close()
    return load(out)


@pytest.fixture(scope="module")
def ours(stock_process: object, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What our engine finds, on three workers, while Flower's is at it (and mostly waits)."""
    with WorkerPool(WorkerResources(num_workers=3, cpus_per_worker=0.25)) as pool:
        return run_on(pool, tmp_path_factory.mktemp("ours") / "found.npz")


@pytest.fixture(scope="module")
def stock(stock_process: tuple[subprocess.Popen, Path]) -> Results:
    process, folder = stock_process
    process.wait(timeout=240)
    assert (folder / "found.npz").exists(), (folder / "log").read_text()[-3000:]
    return load(folder / "found.npz")


def assert_same(ours: Results, theirs: Results, *, rtol: float, atol: float) -> None:
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert (ours[name].shape, ours[name].dtype) == (value.shape, value.dtype), name
        assert np.isfinite(value).all(), name
        np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("strategy", app.STRATEGIES)
def test_a_strategy_finds_what_it_finds_on_flowers_own_engine(strategy, ours, stock):
    of_ours, of_stock = (
        {name: value for name, value in results.items() if name.startswith(f"{strategy}/")} for results in (ours, stock)
    )
    num_arrays = 3 if strategy.startswith("DP") else 4
    num_metrics = len(("who", "loss")) + len(("who", "loss", "speed"))
    assert len(of_stock) == num_arrays + app.NUM_ROUNDS * num_metrics
    assert_same(of_ours, of_stock, rtol=1e-6, atol=1e-6)


def test_the_strategies_differ_so_that_none_can_pass_for_another(stock):
    for one, other in combinations(app.STRATEGIES, 2):
        difference = np.abs(stock[f"{one}/arrays/weight"] - stock[f"{other}/arrays/weight"]).max()
        assert difference > 1e-3, f"{one} and {other}"


def test_each_round_draws_some_of_the_clients_anew(stock):
    for kind, num_clients in (("train", app.NUM_TRAIN), ("evaluate", app.NUM_EVALUATE)):
        rounds = range(1, app.NUM_ROUNDS + 1)
        drawn = [frozenset(np.flatnonzero(stock[f"FedAvg/{kind}/{index}/who"])) for index in rounds]
        assert {len(clients) for clients in drawn} == {num_clients}
        assert len(set(drawn)) > 1


def test_the_number_of_workers_changes_nothing(ours, tmp_path):
    with WorkerPool(WorkerResources(num_workers=1, cpus_per_worker=0.25)) as pool:
        assert_same(ours, run_on(pool, tmp_path / "alone.npz"), rtol=1e-9, atol=1e-12)
