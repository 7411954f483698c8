"""What a site keeps of its client: the state of each round, for whatever round a server begins at again."""

import pytest

from fedray.deployment.client import SiteApp
from fedray.deployment.grid import SoonGrid
from fedray.federation import AgreedGrid, ask_sites, federate, initial_state, make_strategy, shared_arrays
from tests.support.federation import assert_close
from tests.support.sites import site_grid


@pytest.fixture
def config(small_config):
    """Discriminators and all moments stay with the sites."""
    return small_config(
        data__store="sites", federation__num_clients=2, federation__num_rounds=3, federation__local_steps=1,
        federation__aggregate="generator",
    )  # fmt: skip


def begun(config, store, folders):
    """Return a grid of new processes, and a state and the rounds of a server on it."""
    grid = site_grid([store.path] * len(folders))
    grid.client_app = SiteApp()
    for context, folder in zip(grid.contexts.values(), folders, strict=True):
        context.node_config["state"] = str(folder)
    census = ask_sites(grid, config)

    def go_on(state):
        near = AgreedGrid(SoonGrid(grid), census, "run-1")
        return federate(make_strategy(config, census.shape), near, state, config, census)

    return initial_state(config, census.shape), go_on


def test_sites_that_are_rounds_ahead_take_up_the_round_of_the_servers_checkpoint(small_store, config, tmp_path):
    config = config.model_copy(update={"federation": config.federation.model_copy(update={"checkpoint_every": 2})})
    folders = [tmp_path / "one", tmp_path / "two"]
    state, go_on = begun(config, small_store, folders)
    first = shared_arrays(state)
    list(go_on(state))
    expected = shared_arrays(state)
    kept = sorted(path.name for path in (folders[0] / "run-1").iterdir())
    assert kept == ["round-00002", "round-00003"], "a server that died in round 3 asks for that of 2"
    again, go_on = begun(config, small_store, folders)
    again.round_index = 2
    third = None
    state, before = begun(config, small_store, [tmp_path / "three", tmp_path / "four"])
    for report in before(state):
        if report.round_index == 2:
            again.arrays = state.arrays
            third = shared_arrays(state)
            break
    assert third is not None and any((third[name] != first[name]).any() for name in third)
    list(go_on(again))
    assert_close(shared_arrays(again), expected, tolerance=0.0)


def test_another_runs_state_is_not_taken_up(small_store, config, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    results = []
    for names in (folders, folders, [tmp_path / "three", tmp_path / "four"]):
        state, go_on = begun(config, small_store, names)
        list(go_on(state))
        results.append(shared_arrays(state))
    assert_close(results[0], results[1], tolerance=0.0)
    assert_close(results[0], results[2], tolerance=0.0)
