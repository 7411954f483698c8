"""An AWS on loopback: moto's EC2 and IAM in this process, nodes that are folders, and the autoscaler of their head."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from ray.autoscaler._private.aws.config import _get_subnets_or_die
from ray.autoscaler._private.aws.utils import client_cache, resource_cache
from ray.autoscaler.v2.autoscaler import Autoscaler
from ray.autoscaler.v2.instance_manager.config import FileConfigReader
from ray.core.generated.autoscaler_pb2 import (
    ClusterResourceState,
    GetClusterResourceStateReply,
    NodeState,
    NodeStatus,
    ResourceRequest,
    ResourceRequestByCount,
)

from tests.support.cluster_files import HEAD_ONLY, ROOT
from tests.support.storage import CREDENTIALS

NODE = Path(__file__).parent / "stand_ins" / "node.py"
NOWHERE = "http://127.0.0.1:9"  # the proxy of every request that does not go to loopback

Instance = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What a node was asked, as stand_ins/node.py wrote it down; its home directory reads ~ here."""

    kind: str
    what: str
    env: dict[str, str]


class Cloud:
    """What `ray up` made in it, and what it asked of the nodes."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.home, self._nodes, here, programs = (folder / name for name in ("home", "nodes", "here", "programs"))
        for made in (self.home, self._nodes, here, programs, folder / "tmp"):
            made.mkdir()
        stand_ins = {here / "ssh": "ssh", here / "rsync": "rsync"}
        # The image has a `ray` too; Ray is to be started in the environment that set-up makes.
        stand_ins |= {programs / name: f"program {name}" for name in ("uv", "python", "sudo")}
        stand_ins |= {programs / "ray": "program image-ray"}
        for place, answers in stand_ins.items():
            place.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {shlex.quote(str(NODE))} {answers} "$@"\n')
            place.chmod(0o755)
        self.environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-west-2",
            "AWS_CONFIG_FILE": str(folder / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
            "HOME": str(self.home),
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
            "PATH": f"{here}:{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "STAND_IN_NODES": str(self._nodes),
            "STAND_IN_PROGRAMS": str(programs),
            "TMPDIR": str(folder / "tmp"),
        }

    def ray(self, *arguments: str) -> str:
        """Run Ray's command line in the repository, return its output."""
        command = [str(Path(sys.executable).with_name("ray")), *arguments]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def instances(self, kind: str, *states: str) -> list[Instance]:
        """List the instances of a kind of node, `head` or `worker`, in one of these states, by default alive."""
        wanted = [
            {"Name": "tag:ray-node-type", "Values": [kind]},
            {"Name": "instance-state-name", "Values": list(states or ("pending", "running"))},
        ]
        found = boto3.client("ec2").describe_instances(Filters=wanted)["Reservations"]
        return [instance for reservation in found for instance in reservation["Instances"]]

    def disks(self, instance: Instance) -> list[dict[str, Any]]:
        wanted = [{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}]
        return list(boto3.client("ec2").describe_volumes(Filters=wanted)["Volumes"])

    def rules(self, group: str) -> list[dict[str, Any]]:
        """List a security group's rules for what comes in."""
        wanted = [{"Name": "group-name", "Values": [group]}]
        return list(boto3.client("ec2").describe_security_groups(Filters=wanted)["SecurityGroups"][0]["IpPermissions"])

    def home_of(self, address: str) -> Path:
        """Return the home directory in the container of a node."""
        return self._nodes / address / "home"

    def asked(self, address: str, *kinds: str) -> list[Entry]:
        """List what a node was asked, in order."""
        home, entries = str(self.home_of(address)), []
        for line in (self._nodes / "log.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line.replace(home, "~"))
            if entry["node"] == address and (not kinds or entry["kind"] in kinds):
                entries.append(Entry(entry["kind"], entry["what"], entry.get("env", {})))
        return entries


@contextmanager
def local_cloud(folder: Path) -> Iterator[Cloud]:
    """An empty cloud, with the environment that leads there and to nowhere else."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _forget_clients()
        cloud = Cloud(folder, f"http://{host}:{port}")
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "https_proxy", "no_proxy", "RAY_ADDRESS"):
                patch.delenv(name, raising=False)
            for name, value in cloud.environment.items():
                patch.setenv(name, value)
            assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
            assert str(shutil.which("ssh")).startswith(str(folder)) and str(shutil.which("rsync")).startswith(
                str(folder)
            )
            yield cloud
        requests.post(f"http://{host}:{port}/moto-api/reset", timeout=30)
    finally:
        _forget_clients()
        server.stop()


class Head:
    """The autoscaler that runs on the head, with what GCS would tell it: Ray's own decisions on our demands."""

    def __init__(self, instance: Instance, config: Path) -> None:
        self.address = f"{instance['PrivateIpAddress']}:6379"
        self._state = ClusterResourceState()
        self.joins(instance, {HEAD_ONLY: 1.0})
        self._autoscaler = Autoscaler("session", FileConfigReader(str(config), skip_content_hash=False), self)

    def wants(self, demand: dict[str, float], count: int) -> None:
        """Let this many tasks wait for resources."""
        del self._state.pending_resource_requests[:]
        request = ResourceRequest(resources_bundle=demand)
        self._state.pending_resource_requests.append(ResourceRequestByCount(request=request, count=count))

    def joins(self, instance: Instance, resources: dict[str, float], idle_s: float = 0) -> None:
        """Let the Ray of a node be up, with nothing to do for this long."""
        self._state.node_states.append(
            NodeState(
                node_id=instance["InstanceId"].encode(),
                instance_id=instance["InstanceId"],
                ray_node_type_name=tags(instance)["ray-user-node-type"],
                total_resources=resources,
                available_resources=resources if idle_s else {},
                status=NodeStatus.IDLE if idle_s else NodeStatus.RUNNING,
                idle_duration_ms=int(idle_s * 1000),
            )
        )

    def until(self, condition: Callable[[], object], timeout_s: float = 60) -> None:
        """Run the autoscaler's loop until something is the case."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the autoscaler did not get there in time"
            assert self._autoscaler.update_autoscaling_state() is not None, "the autoscaler's log says what went wrong"
            time.sleep(0.2)

    def get_cluster_resource_state(self) -> bytes:
        """GCS's answer to the autoscaler."""
        self._state.cluster_resource_state_version += 1
        return bytes(GetClusterResourceStateReply(cluster_resource_state=self._state).SerializeToString())

    def drain_node(self, node_id: str, **_: object) -> tuple[bool, str]:
        """GCS's answer when an idle node is to go."""
        for node in self._state.node_states:
            if node.node_id.hex() == node_id:
                node.status = NodeStatus.DEAD
        return True, ""


def tags(instance: Instance) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def _forget_clients() -> None:
    """Make Ray ask the cloud of now, not the one it asked first in this process."""
    for remembered in (client_cache, resource_cache, _get_subnets_or_die):
        remembered.cache_clear()
