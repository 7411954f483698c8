"""Twenty-five million parameters in one array, and next to no work."""

import numpy as np

from benchmarks.simulation.apps.tiny import client_app, update
from benchmarks.simulation.federation import Weights

__all__ = ["client_app", "initial_weights", "update"]

_NUM_PARAMETERS = 25_000_000


def initial_weights() -> Weights:
    """Return {"w": float32 zeros}, 100 MB."""
    return {"w": np.zeros(_NUM_PARAMETERS, np.float32)}
