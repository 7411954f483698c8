"""Which Ray the experiment runs on, and what it takes of it."""

import logging
import os
import platform
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch
import yaml

from fedray.config import ExperimentConfig
from fedray.errors import UserError
from fedray.simulation import WorkerResources, find_ray, start_local_ray

CLUSTER_CONFIG = "FEDRAY_CLUSTER_CONFIG"
"""Environment variable with the path of the file that says what the autoscaler may launch."""

_HEAD = "node:__internal_head__"  # a resource that Ray gives the head node


class ResourceError(UserError, ValueError):
    """An experiment needs more than the cluster can ever have. The message has both numbers and the remedy."""


class NodeSize(NamedTuple):
    """Resources of one node."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class ClusterSize:
    """Resources of a cluster, node by node: a worker is on one node, so totals do not say what fits."""

    nodes: tuple[NodeSize, ...]
    """All nodes there can be: those that an autoscaler would launch count too."""
    num_down: int = 0
    """How many of them are not up now."""

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
        what = f"{sum(node.cpus for node in self.nodes):g} CPUs and {self.gpus:g} GPUs on {len(self.nodes)} node(s)"
        return f"{what} at the most, {len(self.nodes) - self.num_down} of them up now" if self.num_down else what


def connect(address: str | None = None) -> ClusterSize:
    """Join the running Ray that ``RAY_ADDRESS`` names (a Ray job's does), else start a local one.

    Args:
        address: Of a running cluster; unset: found as above.

    Raises:
        ResourceError: ``RAY_ADDRESS`` is a job server's.
        SimulationError: There is no Ray for ``auto``, or a local one has no folder for its sockets.
    """
    # Flower tells of every message it samples and aggregates; the round reports say it better.
    logging.getLogger("flwr").setLevel(logging.ERROR)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        _init(address, log_to_driver=False, logging_level="WARNING")
        if threading.current_thread() is threading.main_thread():
            # `kill` and `ray job stop` end a job as Ctrl-C does. Ray's own handler, set a moment ago, aborts.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
    return cluster_size()


def _init(address: str | None, **options: Any) -> None:
    found = find_ray(address)
    if found is None:
        start_local_ray(include_dashboard=False, **options)
    elif found.startswith("http"):
        raise ResourceError(
            f"RAY_ADDRESS is {found}, a job server's address, so the job has to be submitted: ray job submit "
            "--working-dir . -- python jobs/...; to run it on this machine, unset RAY_ADDRESS"
        )
    else:
        ray.init(address=found, **options)


def cluster_size() -> ClusterSize:
    """Measure the connected cluster, or join and measure the one that ``RAY_ADDRESS`` names; else this machine.

    An autoscaled cluster counts as large as it may become, if the file that ``FEDRAY_CLUSTER_CONFIG`` names says so:
    the cluster file of ``ray up``, or one with the same ``available_node_types``.

    Raises:
        ResourceError: That file cannot be read.
    """
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "")
        if address not in ("", "local") and not address.startswith("http"):  # that is a job server's
            return connect()
        return ClusterSize((NodeSize(float(os.cpu_count() or 1), float(torch.cuda.device_count())),))
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    heads = [_node_size(resources) for resources in alive if _HEAD in resources]
    workers = [_node_size(resources) for resources in alive if _HEAD not in resources]
    possible = max(workers, _autoscaled_workers(), key=len)
    return ClusterSize((*heads, *possible), len(possible) - len(workers))


def cluster_name() -> str:
    """Name the cluster for people: as its file does, else by this machine."""
    return str(_cluster_file().get("cluster_name") or platform.node())


def _node_size(resources: Mapping[str, float]) -> NodeSize:
    return NodeSize(resources.get("CPU", 0.0), resources.get("GPU", 0.0))


def _autoscaled_workers() -> list[NodeSize]:
    """List the worker nodes that the autoscaler may launch, those with most GPUs first."""
    declared = _cluster_file()
    try:
        types = {
            name: kind
            for name, kind in declared.get("available_node_types", {}).items()
            if name != declared.get("head_node_type")
        }
        nodes = [_node_size(kind["resources"]) for kind in types.values() for _ in range(kind.get("max_workers", 0))]
        limit = declared.get("max_workers", len(nodes))
        return sorted(nodes, key=lambda node: (node.gpus, node.cpus), reverse=True)[:limit]
    except (AttributeError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ResourceError(
            f"{CLUSTER_CONFIG} must name a cluster file with resources and max_workers for each of its "
            f"available_node_types, but {os.environ[CLUSTER_CONFIG]} is none ({problem}); correct or unset it"
        ) from None


def _cluster_file() -> Mapping[str, Any]:
    place = os.environ.get(CLUSTER_CONFIG)
    if not place:
        return {}
    try:
        return dict(yaml.safe_load(Path(place).expanduser().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ResourceError(
            f"{CLUSTER_CONFIG} names the file {place}, which cannot be read ({problem}); correct or unset it"
        ) from None


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
