"""Flower simulations on Ray workers: any Flower app, on any Ray cluster, inside a placement group or not."""

from .arrays import SharedArray
from .errors import (
    DeadlineExceededError,
    NoWorkerError,
    SimulationError,
    StateLostError,
    UnsoundRepliesError,
    WorkerDiedError,
)
from .finite import first_not_finite
from .grid import RayGrid
from .last_words import StartWatch
from .local_ray import find_ray, start_local_ray
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
    "StartWatch",
    "StateLostError",
    "UnsoundRepliesError",
    "WorkerDiedError",
    "WorkerPool",
    "WorkerResources",
    "describe_capacity",
    "find_ray",
    "first_not_finite",
    "mergeable",
    "merged_nodes",
    "run_simulation",
    "start_local_ray",
]
