"""The task on FedRay. ``python -m benchmarks.pfl`` starts it.

Its arguments are PROCESSES ROUNDS WEIGHTS_FILE DONE_PIPE TURN_PIPE.
"""

import math
import sys
from pathlib import Path
from typing import cast

import torch
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Result

from benchmarks.pfl.fedray_app import client_app, process_network
from benchmarks.pfl.task import NUM_CLIENTS
from benchmarks.pfl.turns import Player
from fedray.simulation import run_simulation


def main() -> None:
    """Run, a round each time it is our turn, and write the final weights as a state dict."""
    num_processes, num_rounds, weights_file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    player = Player(*map(Path, sys.argv[4:]))
    server_app = ServerApp()

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=NUM_CLIENTS, min_available_nodes=NUM_CLIENTS)
        result = strategy.start(
            grid,
            ArrayRecord(process_network().state_dict()),
            num_rounds=num_rounds,
            evaluate_fn=lambda server_round, arrays: take_turns(player),
        )
        _check_replies(result, num_rounds)
        torch.save(result.arrays.to_torch_state_dict(), weights_file)

    config = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": num_processes}}
    run_simulation(server_app, client_app, NUM_CLIENTS, backend_config=config)


def take_turns(player: Player) -> None:
    """End a round, and begin the next one when it is our turn."""
    player.finish_round()
    player.wait_for_turn()
    player.start_round()


def _check_replies(result: Result, num_rounds: int) -> None:
    """Check that every client replied in every round: FedAvg leaves failed ones out without a word."""
    expected = (NUM_CLIENTS - 1) / 2  # the mean of the clients' numbers; no client's own, as there is an even number
    for server_round in range(1, num_rounds + 1):
        metrics = result.train_metrics_clientapp.get(server_round)
        if not metrics or not math.isclose(cast(float, metrics["client"]), expected, rel_tol=1e-9):
            raise RuntimeError(f"clients are missing from round {server_round}: {metrics}, not {expected}")


if __name__ == "__main__":
    main()
