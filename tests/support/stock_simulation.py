"""Run experiments on Flower's stock simulation and save their arrays: python stock_simulation.py CONFIG OUT.npz ..."""

import sys
import time

import numpy as np
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from fedray.config import load_config
from fedray.data import census_of, tile_shape
from fedray.federation import client_app, federate, initial_state, make_strategy, shared_arrays


def server_app_of(config, out):
    server_app = ServerApp()

    @server_app.main()
    def main(grid, context):
        state = initial_state(config, tile_shape(config.data))
        deadline = time.monotonic() + 60
        while len(list(grid.get_node_ids())) < config.num_clients and time.monotonic() < deadline:
            time.sleep(0.01)  # the stock engine starts this function while it is still registering its nodes
        strategy = make_strategy(config, tile_shape(config.data))
        list(federate(strategy, grid, state, config, census_of(config)))
        np.savez(out, **shared_arrays(state))

    return server_app


# Of the four CPUs of the suite's Ray: one actor, and room for others beside it.
resources = {"client_resources": {"num_cpus": 2.5, "num_gpus": 0.0}}
for path, out in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    config = load_config(path)
    run_simulation(server_app_of(config, out), client_app, num_supernodes=config.num_clients, backend_config=resources)
