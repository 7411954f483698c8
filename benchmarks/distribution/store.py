"""What Ray's object store holds."""

import re

import ray
from ray._private.internal_api import memory_summary


def store_mb() -> float:
    """Return the bytes of all objects in the store, in MB of 10^6."""
    summary = memory_summary(ray.get_runtime_context().gcs_address, stats_only=True)
    found = re.search(r"Plasma memory usage (\d+) MiB", summary)
    assert found is not None, f"Ray says what its store holds in other words now: {summary}"
    return int(found[1]) * 2**20 / 1e6
