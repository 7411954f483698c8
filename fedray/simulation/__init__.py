"""Flower simulations on Ray workers: any Flower app, on any Ray cluster, inside a placement group or not."""

from .errors import (
    DeadlineExceededError,
    NoWorkerError,
    SimulationError,
    StateLostError,
    UnsoundRepliesError,
    WorkerDiedError,
)
from .exchange.timing import RoundTiming
from .grid import RayGrid
from .run import run_simulation
from .wire.arrays import SharedArray
from .wire.finite import first_not_finite
from .wire.merging import mergeable, merged_nodes
from .workers.last_words import StartWatch
from .workers.local_ray import find_ray, start_local_ray, stop_local_ray
from .workers.pool import WorkerPool, WorkerResources
from .workers.resources import describe_capacity

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
    "stop_local_ray",
]
