"""Run the GAN app on Flower's stock simulation and save the final arrays: python stock_simulation.py CONFIG OUT.npz."""

import sys
import time

import numpy as np
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from fedray.config import load_config
from fedray.data import census_of, tile_shape
from fedray.federation import client_app, federate, initial_state, make_strategy, shared_arrays

config = load_config(sys.argv[1])
server_app = ServerApp()


@server_app.main()
def main(grid, context):
    state = initial_state(config, tile_shape(config.data))
    deadline = time.monotonic() + 60
    while len(list(grid.get_node_ids())) < config.num_clients and time.monotonic() < deadline:
        time.sleep(0.01)  # the stock engine starts this function while it is still registering its nodes
    strategy = make_strategy(config, tile_shape(config.data))
    list(federate(strategy, grid, state, config, census_of(config)))
    np.savez(sys.argv[2], **shared_arrays(state))


# Of the four CPUs of the suite's Ray: one actor, and room for others beside it.
resources = {"client_resources": {"num_cpus": 2.5, "num_gpus": 0.0}}
run_simulation(server_app, client_app, num_supernodes=config.num_clients, backend_config=resources)
