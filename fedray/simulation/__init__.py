"""Flower simulations on Ray workers: any Flower app, on any Ray cluster, inside a placement group or not."""

from .arrays import SharedArray
from .errors import DeadlineExceededError, NoWorkerError, SimulationError, StateLostError, WorkerDiedError
from .grid import RayGrid
from .merging import mergeable, merged_nodes
from .pool import WorkerPool, WorkerResources
from .resources import describe_capacity
from .run import run_simulation
from .timing import RoundTiming

__all__ = [
    "DeadlineExceededError",
    "NoWorkerError",
    "RayGrid",
    "RoundTiming",
    "SharedArray",
    "SimulationError",
    "StateLostError",
    "WorkerDiedError",
    "WorkerPool",
    "WorkerResources",
    "describe_capacity",
    "mergeable",
    "merged_nodes",
    "run_simulation",
]
