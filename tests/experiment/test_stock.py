"""The oracle: the same experiments, seeds and data on Flower's stock simulation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedray.config import flatten, save_config
from fedray.data import write_store
from fedray.federation import client_app, shared_arrays
from fedray.simulation import RayGrid
from tests.support.classifiers import experiment
from tests.support.federation import first_state, rounds_of
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def configs(small_config, tmp_path_factory):
    """Experiments whose clients keep something from one round to the next: networks, and tiles that are refreshed."""
    folder = tmp_path_factory.mktemp("stores")
    real, made = (  # 7 kB a tile: what a client is handed goes through the object store
        write_store(
            folder / name,
            (tile._replace(split="train") for tile in random_tiles(60, 48, seed)),
            label_names=["dark", "bright"],
        )
        for seed, name in enumerate(("real", "made"))
    )
    handed = experiment(
        real,
        federation__mode="fedssg",
        federation__num_rounds=3,
        partition__scheme="majority-label",
        partition__majority_share=0.8,
        classification__tiles="both",
        classification__synthetic=str(made.path),
        classification__refresh_every=2,
    )
    private = small_config(
        federation__num_clients=3, federation__aggregate="generator", partition__scheme="dirichlet"
    )  # fmt: skip
    return {"private": private, "handed": handed}


@pytest.fixture(scope="module")
def stock(configs, ray_address, tmp_path_factory):
    """What Flower's engine makes of them, by their names. In a process of its own, because it leaves Ray at its end."""
    folder = tmp_path_factory.mktemp("stock")
    files = []
    for name, config in configs.items():
        save_config(config, folder / f"{name}.yaml")
        files += [str(folder / f"{name}.yaml"), str(folder / f"{name}.npz")]
    script = Path(__file__).parents[1] / "support" / "stock_simulation.py"
    environment = os.environ | {"RAY_ADDRESS": ray_address}
    subprocess.run([sys.executable, str(script), *files], env=environment, check=True, capture_output=True, timeout=180)
    arrays = {}
    for name in configs:
        with np.load(folder / f"{name}.npz") as found:
            arrays[name] = dict(found)
    return arrays


@pytest.mark.parametrize("name", ["private", "handed"])
def test_ray_grid_equals_flowers_stock_simulation(configs, stock, workers, name):
    state, grid = first_state(configs[name]), RayGrid(client_app, configs[name].num_clients, workers)
    list(rounds_of(configs[name], grid, state))
    ours = shared_arrays(state)
    assert set(stock[name]) == set(ours)
    for array, value in stock[name].items():
        assert np.allclose(value, ours[array], atol=1e-6, rtol=1e-6), array
    referred = [len(grid._states.get(node).contents) for node in grid.get_node_ids()]
    assert referred == ([1, 1] if name == "handed" else [0, 0, 0]), "tiles stay where the server put them"
    grid.close()


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
