"""Which Ray the experiment runs on, and what it takes of it."""

import logging
import os
from dataclasses import dataclass
from typing import NamedTuple

import ray
import torch

from fedray.config import ExperimentConfig
from fedray.simulation import WorkerResources


class ResourceError(ValueError):
    """An experiment needs more than the cluster can ever have. The message has both numbers and the remedy."""


class NodeSize(NamedTuple):
    """Resources of one node."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class ClusterSize:
    """Resources of a cluster, node by node: a worker is on one node, so totals do not say what fits."""

    nodes: tuple[NodeSize, ...]

    @property
    def gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(node.gpus for node in self.nodes)

    @property
    def largest_node_cpus(self) -> float:
        """CPUs of the node that has most of them."""
        return max((node.cpus for node in self.nodes), default=0.0)

    @property
    def largest_node_gpus(self) -> float:
        """GPUs of the node that has most of them."""
        return max((node.gpus for node in self.nodes), default=0.0)

    def slots(self, cpus: float, gpus: float) -> int:
        """Count the workers of a size that fit at a time."""
        return sum(_times(node.cpus, cpus, node.gpus, gpus) for node in self.nodes)

    def __str__(self) -> str:
        """Say the totals."""
        return f"{sum(node.cpus for node in self.nodes):g} CPUs and {self.gpus:g} GPUs on {len(self.nodes)} node(s)"


def connect(address: str | None = None) -> ClusterSize:
    """Join the running Ray (``RAY_ADDRESS``, a Ray job's, or one started on this machine), else start a local one.

    Args:
        address: Of a running cluster; unset: found as above.
    """
    # Flower tells of every message it samples and aggregates; the round reports say it better.
    logging.getLogger("flwr").setLevel(logging.ERROR)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(address=address, log_to_driver=False, logging_level="WARNING", include_dashboard=False)
    return cluster_size()


def cluster_size() -> ClusterSize:
    """Measure the connected cluster; where none is connected, this machine, which would be the local one."""
    if not ray.is_initialized():
        return ClusterSize((NodeSize(float(os.cpu_count() or 1), float(torch.cuda.device_count())),))
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return ClusterSize(tuple(NodeSize(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive))


def plan_workers(config: ExperimentConfig, cluster: ClusterSize, num_experiments: int = 1) -> WorkerResources:
    """Decide how many workers an experiment gets, and what each of them takes.

    Args:
        config: Of the experiment.
        cluster: What there is.
        num_experiments: Experiments that shall run at a time; each gets its share of the cluster, at least one worker.

    Raises:
        ResourceError: The cluster can never run the workers that the configuration demands.
    """
    resources = config.resources
    use_gpu = resources.device == "cuda" or (resources.device == "auto" and cluster.gpus > 0)
    gpus = 1 / resources.workers_per_gpu if use_gpu else 0.0
    slots = cluster.slots(resources.cpus_per_worker, gpus)
    clients_per_round = max(1, round(config.federation.client_fraction * config.num_clients))
    wanted = resources.num_workers or max(1, min(clients_per_round, slots // num_experiments))
    if wanted > slots:
        raise ResourceError(
            f"the experiment needs {wanted} x ({resources.cpus_per_worker:g} CPUs, {gpus:g} GPUs), but the cluster can "
            f"never run more than {slots} such workers: it has {cluster} (largest node: {cluster.largest_node_cpus:g} "
            f"CPUs, {cluster.largest_node_gpus:g} GPUs); {_remedy(resources.cpus_per_worker, gpus, slots, cluster)}"
        )
    return WorkerResources(wanted, resources.cpus_per_worker, gpus)


def _remedy(cpus: float, gpus: float, slots: int, cluster: ClusterSize) -> str:
    if gpus > cluster.largest_node_gpus:
        return "set resources.device to cpu, or add GPU nodes to the cluster"
    if cpus > cluster.largest_node_cpus:
        return f"lower resources.cpus_per_worker to {cluster.largest_node_cpus:g} or less"
    return f"lower resources.num_workers to {slots} or less, or lower resources.cpus_per_worker" + (
        ", raise resources.workers_per_gpu, or set resources.device to cpu" if gpus else ""
    )


def _times(node_cpus: float, cpus: float, node_gpus: float, gpus: float) -> int:
    by_cpu = int(node_cpus / cpus + 1e-9)
    return min(by_cpu, int(node_gpus / gpus + 1e-9)) if gpus else by_cpu
