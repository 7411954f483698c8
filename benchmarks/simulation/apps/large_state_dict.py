"""Twenty-five million parameters in a ``state_dict`` of one tensor."""

from benchmarks.simulation.apps.large import initial_weights
from benchmarks.simulation.apps.state_dict import client_app, update

__all__ = ["client_app", "initial_weights", "update"]
