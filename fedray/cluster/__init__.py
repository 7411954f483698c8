"""Ray as jobs see it: how large the cluster is, how to join it, what its machines see, and what a job takes along."""

from fedray.cluster.size import (
    ClusterSize,
    NodeSize,
    ResourceError,
    cluster_name,
    cluster_size,
    connect,
    plan_workers,
)

__all__ = [
    "ClusterSize",
    "NodeSize",
    "ResourceError",
    "cluster_name",
    "cluster_size",
    "connect",
    "plan_workers",
]
