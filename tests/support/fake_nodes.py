"""An autoscaled cluster on this machine: Ray's own autoscaler and real nodes, only that no cloud launches them."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ray.util.state import StateApiClient
from ray.util.state.common import ListApiOptions, StateResource

from tests.support.loopback import free_port, wait_until
from tests.support.real_ray import RealRay, real_ray

_LOOK_S = 2.0  # half a second costs the test more CPU than its trials do


@dataclass
class TimeLine:
    """How many worker nodes were up, and when.

    Attributes:
        seconds: Since the start of the watch.
        num_workers: Nodes beside the head at that time.
    """

    seconds: list[float] = field(default_factory=list)
    num_workers: list[int] = field(default_factory=list)


@dataclass
class FakeCluster:
    """A head that takes no work, and an autoscaler that launches nodes of some CPUs."""

    ray: RealRay
    time_line: TimeLine
    started: float
    """time.time() at the start of the time line."""
    actor_nodes: dict[str, set[str]] = field(default_factory=dict)
    """By class, the nodes on which actors of the sweep have been seen."""
    lost_at: float = 0.0
    """When a node was taken away, in seconds on the time line."""

    def workers(self) -> set[str]:
        """Return the ids of the living worker nodes."""
        nodes = self._list(StateResource.NODES)
        return {node.node_id for node in nodes if node.state == "ALIVE" and not node.is_head_node}

    def heads(self) -> set[str]:
        """Return the ids of the head: one, as soon as it is up."""
        nodes = self._list(StateResource.NODES)
        return {node.node_id for node in nodes if node.state == "ALIVE" and node.is_head_node}

    def trial_nodes(self) -> set[str]:
        """Return the nodes on which trials run now."""
        actors = self._list(StateResource.ACTORS, filters=[("state", "=", "ALIVE")], limit=1000)
        for actor in actors:
            self.actor_nodes.setdefault(actor.class_name, set()).add(actor.node_id)
        return {actor.node_id for actor in actors if "Trainable" in actor.class_name}

    def _list(self, kind: StateResource, **options: Any) -> list[Any]:
        client = StateApiClient(address=self.ray.dashboard, headers=dict(self.ray.login))
        return list(client.list(kind, ListApiOptions(**options), raise_on_missing_output=False))

    def kill_node(self, node_id: str) -> None:
        """Take a node away without a word, as a spot market does: its raylet dies, and with it its workers."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                variables = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().split(b"\0")[0]
                if command.endswith(b"raylet") and f"RAY_OVERRIDE_NODE_ID_FOR_TESTING={node_id}".encode() in variables:
                    self.lost_at = time.time() - self.started
                    os.kill(int(entry.name), signal.SIGKILL)
                    return
        raise LookupError(f"no raylet of node {node_id}")


@contextmanager
def fake_cluster(
    folder: Path, cpus: int, max_workers: int, *, idle_minutes: float, **environment: str
) -> Iterator[FakeCluster]:
    """Start a cluster of a head alone. Its file is in ``FEDRAY_CLUSTER_CONFIG``, as ``cluster.yaml`` has it."""
    port = free_port()
    config = folder / "fake_cluster.yaml"
    config.write_text(yaml.safe_dump(_config(f"127.0.0.1:{port}", cpus, max_workers, idle_minutes)))
    variables = {
        "RAY_FAKE_CLUSTER": "1",
        "FEDRAY_CLUSTER_CONFIG": str(config),
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_health_check_period_ms": "1000",  # a lost node is missed after 5 s instead of 15
    }
    options = ("--num-cpus=0", f"--autoscaling-config={config}")
    with real_ray(*options, port=port, **variables, **environment) as ray:
        cluster = FakeCluster(ray, TimeLine(), time.time())
        wait_until(lambda: bool(cluster.heads()), "the head node")
        with _watched(cluster):
            yield cluster


@contextmanager
def _watched(cluster: FakeCluster) -> Iterator[None]:
    ended = threading.Event()

    def look() -> None:
        num_workers = len(cluster.workers())
        cluster.trial_nodes()
        cluster.time_line.seconds.append(time.time() - cluster.started)
        cluster.time_line.num_workers.append(num_workers)

    def watch() -> None:
        while not ended.wait(_LOOK_S):
            with suppress(Exception):  # the dashboard may be busy: a point of the line is missing
                look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(Exception):
            look()  # how it ended


def wait_for_workers(cluster: FakeCluster, number: int, deadline_s: float) -> None:
    """Wait until so many worker nodes are up."""
    wait_until(lambda: len(cluster.workers()) == number, f"{number} worker nodes", deadline_s)


def _config(gcs_address: str, cpus: int, max_workers: int, idle_minutes: float) -> dict[str, object]:
    worker = {"resources": {"CPU": cpus}, "node_config": {}, "min_workers": 0, "max_workers": max_workers}
    return {
        "cluster_name": "fake",
        "max_workers": max_workers,
        "idle_timeout_minutes": idle_minutes,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": gcs_address,
            "launch_multiple": True,
            "use_node_id_as_ip": True,  # all have the same address
            "disable_node_updaters": True,  # there is nothing to reach by ssh; a node without a heartbeat is replaced
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": worker,
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }
