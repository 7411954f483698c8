"""A thousand parameters and next to no work: what is measured is the engine."""

import numpy as np
from flwr.app import RecordDict

from benchmarks.simulation.federation import Metrics, Weights, make_client_app

_NUM_PARAMETERS = 1_000


def initial_weights() -> Weights:
    """Return {"w": float32 zeros}."""
    return {"w": np.zeros(_NUM_PARAMETERS, np.float32)}


def update(weights: Weights, client: int, state: RecordDict) -> tuple[Weights, Metrics]:
    """Add a small number, another one and with another weight for every client: a missing reply shows in the mean."""
    return {"w": weights["w"] + np.float32(1e-3 * (1 + client % 7))}, {"num-examples": 1 + client % 3}


client_app = make_client_app(update)
