"""The sections ``resources`` and ``tracking``: where an experiment runs, and how it appears in MLflow."""

from typing import Literal

from pydantic import Field

from fedray.config.engines import EngineName, described_engines
from fedray.config.section import Positive, Section


class ResourcesConfig(Section):
    """What one experiment takes of the cluster."""

    num_workers: int | None = Field(None, ge=1)
    """Worker processes that run the clients, >= 1; unset: planned from the cluster's size."""
    cpus_per_worker: float = Field(1.0, gt=0.0)
    """CPU cores per worker, > 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where clients train; 'auto' takes GPUs where the cluster has any."""
    workers_per_gpu: int = Field(2, ge=1)
    """Workers that share one GPU, >= 1."""
    engine: EngineName = Field("auto", description=described_engines())
    start_timeout_s: Positive = 300.0
    """Longest to wait for the first worker to start, in seconds, > 0."""


class TrackingConfig(Section):
    """How the run appears in MLflow."""

    experiment: str = Field("fedray", min_length=1, max_length=500)
    """Name of the MLflow experiment, 1 to 500 characters."""
    run_name: str | None = None
    """Name of the run; unset: objective, data set, what differs from the defaults, and seed."""
    real_tiles: bool | None = None
    """Whether pictures and pages in MLflow may show real tiles; unset: only where the tracking address is this
    machine's own, a SQLite file or a server of the loopback."""
