"""Flower simulations on Ray workers: any Flower app, on any Ray cluster, inside a placement group or not."""

from .arrays import SharedArray
from .errors import DeadlineExceededError, NoWorkerError, SimulationError, WorkerDiedError
from .grid import RayGrid
from .pool import WorkerPool, WorkerResources
from .run import run_simulation

__all__ = [
    "DeadlineExceededError",
    "NoWorkerError",
    "RayGrid",
    "SharedArray",
    "SimulationError",
    "WorkerDiedError",
    "WorkerPool",
    "WorkerResources",
    "run_simulation",
]
