import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
from flwr.serverapp import ServerApp
from ray import cloudpickle

from fedray.simulation import NoWorkerError, run_simulation

APP_FILE = Path(__file__).parents[1] / "support" / "federation_app.py"


@pytest.fixture(scope="module")
def federation():
    spec = importlib.util.spec_from_file_location("federation_app", APP_FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["federation_app"] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["federation_app"]


def python(*arguments: str, ray_address: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"RAY_ADDRESS": ray_address}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def assert_same(ours: Path, theirs: Path) -> None:
    with np.load(ours) as a, np.load(theirs) as b:
        assert set(a.files) == set(b.files)
        assert len(a.files) > 10
        for name in a.files:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_equals_flowers_own_simulation_and_leaves_ray_alone(ray_address, federation, tmp_path):
    done = python(str(APP_FILE), str(tmp_path / "stock.npz"), ray_address=ray_address)
    assert (tmp_path / "stock.npz").exists(), done.stderr[-3000:]
    ours = tmp_path / "ours.npz"
    config = {"client-resources": {"num-cpus": 1, "num-gpus": 0.0}}
    run_simulation(federation.make_server_app(str(ours)), federation.client_app, 5, backend_config=config)
    assert_same(ours, tmp_path / "stock.npz")
    assert ray.is_initialized()
    assert ray.get(ray.put(1)) == 1


def test_starts_and_ends_a_ray_of_its_own_where_there_is_none(ray_address, federation, tmp_path):
    """One that it joins, it leaves at the end; here after an error."""
    script = f"""
import os, sys; sys.path.insert(0, {str(APP_FILE.parent)!r})
import ray
from federation_app import client_app, make_server_app
from fedray.simulation import NoWorkerError, run_simulation
init = {{"num_cpus": 1, "object_store_memory": 100 * 1024**2}}
config = {{"client_resources": {{"num_cpus": 1}}, "init_args": init}}
run_simulation(make_server_app({str(tmp_path / "own.npz")!r}), client_app, 5, backend_config=config)
assert not ray.is_initialized()
os.environ["RAY_ADDRESS"] = {ray_address!r}
try:
    run_simulation(make_server_app("never"), client_app, 5, backend_config={{"client_resources": {{"num_cpus": 65}}}})
except NoWorkerError as error:
    print("refused:", error)
assert not ray.is_initialized()
"""
    done = python("-c", script, ray_address="local")  # never the one that somebody runs on this machine
    assert done.returncode == 0, done.stderr[-3000:]
    assert "refused: no worker can start: asked for 1 worker(s) of 65 CPU" in done.stdout
    assert (tmp_path / "own.npz").exists()


def test_what_the_server_app_raises_is_what_the_caller_gets(ray_session, federation):
    app = ServerApp()

    @app.main()
    def main(grid, context):
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        run_simulation(app, federation.client_app, 2, backend_config={"client_resources": {"num_cpus": 0.1}})
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend_name": "dask"}, "backend_name must be 'ray', but got 'dask'"),
        ({"backend_config": {"client_resource": {}}}, "got 'client_resource'"),
        ({"backend_config": {"client_resources": {"num_cpu": 1}}}, "got num_cpu"),
    ],
)
def test_arguments_are_checked(arguments, message, federation):
    with pytest.raises(ValueError, match=message):
        run_simulation(ServerApp(), federation.client_app, 2, **arguments)


def test_no_worker_error_is_a_simulation_error():
    assert issubclass(NoWorkerError, RuntimeError)
