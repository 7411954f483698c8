"""Rounds of a federation in this process, and one client's round without Flower to hold them against."""

import numpy as np
from flwr.clientapp import ClientApp

from fedray.data import TileShape, census_of, partitioned_store, tile_shape
from fedray.federation import client_app, federate, initial_state, load_checkpoint, make_strategy, save_checkpoint
from fedray.randomness import derive_seed
from fedray.tasks.gan import Gan, Optimizers, local_pass
from fedray.testing import LocalGrid

PRIVATE = {"gan__generator": "residual", "federation__weighting": "uniform", "federation__num_rounds": 1}
"""What an experiment with differential privacy needs beside its noise."""


def first_state(config):
    return initial_state(config, tile_shape(config.data))


def strategy_of(config):
    return make_strategy(config, tile_shape(config.data))


def rounds_of(config, grid, state, account=None):
    """Run the rounds that are left, one a turn."""
    return federate(strategy_of(config), grid, state, config, census_of(config), account)


def run(config, grid=None, state=None, rounds=None, account=None):
    grid = grid or LocalGrid(client_app, config.num_clients)
    state = state or first_state(config)
    reports = []
    for report in rounds_of(config, grid, state, account):
        reports.append(report)
        if report.round_index == rounds:
            break
    return state, reports, grid


def run_interrupted(config, folder, rounds):
    """Run some rounds, write a checkpoint, and go on from it on a new grid. Returns the reports of the rest."""
    state, _, grid = run(config, rounds=rounds)
    save_checkpoint(folder / "c", state, {node: context.state for node, context in grid.contexts.items()})
    loaded, states = load_checkpoint(folder / "c")
    fresh = LocalGrid(client_app, config.num_clients)
    for node, record in states.items():
        fresh.contexts[node].state = record
    return run(config, grid=fresh, state=loaded)


def assert_close(first, second, tolerance=1e-6):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert np.allclose(value, second[name], atol=tolerance, rtol=tolerance), name


def plain_pass(config, client_id, arrays, round_index=1, optimizers=None, gan=None):
    """One client's round without Flower."""
    gan = gan or Gan(config.gan, TileShape(16, 3, 2), config.seed)
    gan.load(arrays)
    optimizers = optimizers or Optimizers(gan)
    client = partitioned_store(config).tiles(client_id)
    steps = config.federation.local_steps or -(-len(client.tiles) // config.gan.batch_size)
    seed = derive_seed(config.seed, "client", round_index, client_id)
    local_pass(gan, optimizers, client, num_steps=steps, steps_before=(round_index - 1) * steps, seed=seed)
    return gan, len(client.tiles), optimizers


def failing_app(bad_partition):
    app = ClientApp()

    @app.train()
    def train(message, context):
        if context.node_config["partition-id"] == bad_partition:
            raise OSError("the disk of this hospital is full")
        return client_app(message, context)

    return app
