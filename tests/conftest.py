"""What the whole suite shares: one local Ray, and no telemetry."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all tests: 4 logical CPUs, whatever the machine has."""
    import ray

    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=500 * 1024**2,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()
