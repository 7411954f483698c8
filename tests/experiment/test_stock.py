"""The oracle: the same GAN app, seed and data on Flower's stock simulation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from fedray.config import flatten, save_config
from fedray.federation import client_app, shared_arrays
from fedray.simulation import RayGrid
from tests.support.federation import first_state, rounds_of


def test_ray_grid_equals_flowers_stock_simulation(small_config, workers, ray_address, tmp_path):
    # With private discriminators: each client's state must survive between its rounds on both engines.
    config = small_config(
        federation__num_clients=3, federation__aggregate="generator", partition__scheme="dirichlet"
    )  # fmt: skip
    save_config(config, tmp_path / "config.yaml")
    script = Path(__file__).parents[1] / "support" / "stock_simulation.py"
    # In a process of its own, because it leaves Ray at its end.
    environment = os.environ | {"RAY_ADDRESS": ray_address}
    subprocess.run(
        [sys.executable, str(script), str(tmp_path / "config.yaml"), str(tmp_path / "stock.npz")],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    state = first_state(config)
    list(rounds_of(config, RayGrid(client_app, 3, workers), state))
    ours = shared_arrays(state)
    with np.load(tmp_path / "stock.npz") as stock:
        assert set(stock.files) == set(ours)
        for name in stock.files:
            assert np.allclose(stock[name], ours[name], atol=1e-6, rtol=1e-6), name


def test_the_flower_app_in_pyproject_names_every_config_path_it_can():
    """Flower overrides only keys that stand in pyproject.toml, and they must be the config's own defaults."""
    import tomllib

    from fedray.config import ExperimentConfig, override

    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        app = tomllib.load(file)["tool"]["flwr"]["app"]
    given = {path: value for path, value in app["config"].items() if value != ""}
    assert override(ExperimentConfig(), given, "pyproject.toml") == ExperimentConfig()
    defaults = flatten(ExperimentConfig().model_dump())
    missing = {path for path in defaults if path not in app["config"]}
    assert {path.split(".")[0] for path in missing} <= {"resources", "tracking", "federation"}
    assert {path for path in missing if path.startswith("federation")} == {
        "federation.num_clients", "federation.checkpoint_every", "federation.merge_replies",
    }  # fmt: skip
