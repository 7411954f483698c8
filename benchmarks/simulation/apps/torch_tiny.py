"""Like tiny, but importing torch, as real apps do: it takes a fresh worker seconds."""

import torch
from flwr.app import RecordDict

from benchmarks.simulation.apps.tiny import initial_weights
from benchmarks.simulation.federation import Metrics, Weights, make_client_app

__all__ = ["client_app", "initial_weights", "update"]


def update(weights: Weights, client: int, state: RecordDict) -> tuple[Weights, Metrics]:
    """Add a small number, in torch."""
    return {"w": (torch.from_numpy(weights["w"]) + 1e-3 * (1 + client % 7)).numpy()}, {"num-examples": 1 + client % 3}


client_app = make_client_app(update)
