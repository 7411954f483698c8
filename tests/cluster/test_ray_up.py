"""`ray up cluster.yaml`, the autoscaler on the head and `ray down`, against an AWS on loopback. No packet leaves it."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.util import prepare_config

from fedray.cluster.size import CLUSTER_CONFIG, cluster_name
from tests.support.cloud import Cloud, Entry, Head, Instance, local_cloud, tags
from tests.support.cluster_files import ROOT

CONFIG = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
TYPES = CONFIG["available_node_types"]

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Node:
    """An instance when its set-up was done, and what it was asked until then."""

    instance: Instance
    disks: list[dict[str, Any]]
    asked: list[Entry]
    home: Path

    def ran(self, program: str) -> list[Entry]:
        return [entry for entry in self.asked if entry.kind == "program" and entry.what.startswith(program)]

    def host(self, command: str) -> str:
        return next(entry.what for entry in self.asked if entry.kind == "host" and entry.what.startswith(command))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with local_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        for name in ("fedray-head", "fedray-worker"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=name)
        yield cloud


@pytest.fixture(scope="module")
def head(cloud: Cloud) -> Node:
    cloud.ray("up", "-y", "cluster.yaml", "--no-config-cache")
    (instance,) = cloud.instances("head")
    address = instance["PublicIpAddress"]
    return Node(instance, cloud.disks(instance), cloud.asked(address), cloud.home_of(address))


@pytest.fixture(scope="module")
def autoscaler(head: Node) -> Iterator[Head]:
    """The head's autoscaler, in the head's home directory, with what `ray up` left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(head.home))
        patch.setenv("STAND_IN_GPU", "1")
        yield Head(head.instance, head.home / "ray_bootstrap_config.yaml")


@pytest.fixture(scope="module")
def workers(cloud: Cloud, autoscaler: Head) -> list[Node]:
    """The nodes for two tasks that each need a GPU."""
    autoscaler.wants({"GPU": 1, "CPU": 4}, count=2)

    def all_up() -> bool:
        launched = cloud.instances("worker")
        return bool(launched) and all(tags(worker)["ray-node-status"] == "up-to-date" for worker in launched)

    autoscaler.until(all_up)
    launched = cloud.instances("worker")
    addresses = [worker["PrivateIpAddress"] for worker in launched]
    return [
        Node(worker, cloud.disks(worker), cloud.asked(address), cloud.home_of(address))
        for worker, address in zip(launched, addresses, strict=True)
    ]


@pytest.fixture(scope="module")
def left(cloud: Cloud, autoscaler: Head, workers: list[Node]) -> list[str]:
    """The workers alive when one of two has been idle for longer than it may, the other has work."""
    autoscaler.wants({"GPU": 1}, count=0)
    allowed_s = CONFIG["idle_timeout_minutes"] * 60
    for worker, idle_s in zip(workers, (allowed_s + 1, 0), strict=True):
        autoscaler.joins(worker.instance, {"CPU": 8.0, "GPU": 1.0}, idle_s)
    autoscaler.until(lambda: len(cloud.instances("worker")) == 1)
    return [worker["InstanceId"] for worker in cloud.instances("worker")]


@pytest.fixture(scope="module")
def down(cloud: Cloud, left: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(cloud.home))
        cloud.ray("down", "-y", "cluster.yaml")


def test_the_head_is_what_the_file_says(head: Node) -> None:
    asked_for(head, TYPES["head"]["node_config"])
    assert "InstanceLifecycle" not in head.instance, "a head on a spot node would take the cluster with it"
    assert tags(head.instance) | {
        "Name": "ray-fedray-head",
        "ray-cluster-name": "fedray",
        "ray-node-type": "head",
        "ray-user-node-type": "head",
        "ray-node-status": "up-to-date",
    } == tags(head.instance)


def test_the_head_is_set_up_in_the_declared_order(head: Node) -> None:
    docker = CONFIG["docker"]
    in_order(
        head.asked,
        *CONFIG["initialization_commands"],
        f"docker pull {docker['head_image']}",
        f"{docker['head_image']} bash",
        *CONFIG["setup_commands"],
        *CONFIG["head_setup_commands"],
        *CONFIG["head_start_ray_commands"],
    )
    run = head.host("docker run")
    assert all(option in run for option in docker["run_options"] + docker["head_run_options"])
    assert "--runtime=nvidia" not in run


def test_the_environment_is_the_lock_and_ray_starts_in_it(head: Node) -> None:
    assert [entry.what for entry in head.ran("uv")] == CONFIG["setup_commands"][1:]
    assert (head.home / "requirements.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes()
    stop, start = head.ran("ray")
    assert stop.what == "ray stop"
    assert start.what.startswith("ray start --head")
    assert "--dashboard-host=127.0.0.1" in start.what
    assert json.loads(start.env["RAY_OVERRIDE_RESOURCES"]) == {"CPU": 0}
    assert start.env["RAY_JOB_STOP_WAIT_TIME_S"] == "30"


def test_a_job_on_the_head_finds_what_the_cluster_may_become(head: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    (start,) = head.ran("ray start")
    assert start.env[CLUSTER_CONFIG] == "~/ray_bootstrap_config.yaml"
    monkeypatch.setenv("HOME", str(head.home))
    monkeypatch.setenv(CLUSTER_CONFIG, start.env[CLUSTER_CONFIG])
    assert cluster_name() == "fedray"
    known = yaml.safe_load((head.home / "ray_bootstrap_config.yaml").read_text(encoding="utf-8"))
    assert known["max_workers"] == CONFIG["max_workers"]
    for name, kind in known["available_node_types"].items():
        assert TYPES[name]["resources"].items() <= kind["resources"].items()
        assert TYPES[name]["max_workers"] == kind["max_workers"]


def test_only_ssh_is_open_to_the_world(cloud: Cloud, head: Node) -> None:
    (group,) = head.instance["SecurityGroups"]
    assert group["GroupName"] == "fedray"
    within, ssh = sorted(cloud.rules("fedray"), key=lambda rule: "FromPort" in rule)
    assert [pair["GroupId"] for pair in within["UserIdGroupPairs"]] == [group["GroupId"]] and not within["IpRanges"]
    assert (ssh["IpProtocol"], ssh["FromPort"], ssh["ToPort"]) == ("tcp", 22, 22)


def test_ray_leaves_a_corrected_security_group_alone(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cluster.yaml says about its group, with a group of another name."""
    monkeypatch.setenv("HOME", str(cloud.home))
    config = copy.deepcopy(CONFIG)
    config["provider"]["security_group"]["GroupName"] = "corrected"

    def ssh_rules() -> list[list[dict[str, str]]]:
        return [rule["IpRanges"] for rule in cloud.rules("corrected") if rule.get("FromPort") == 22]

    made = bootstrap_aws(prepare_config(config))
    world, ours = ([{"CidrIp": cidr}] for cidr in ("0.0.0.0/0", "192.0.2.0/24"))
    assert ssh_rules() == [world]
    group = boto3.resource("ec2").SecurityGroup(
        made["available_node_types"]["head"]["node_config"]["SecurityGroupIds"][0]
    )
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    group.authorize_ingress(IpPermissions=[ssh | {"IpRanges": ours}])
    group.revoke_ingress(IpPermissions=[ssh | {"IpRanges": world}])

    bootstrap_aws(prepare_config(config))

    assert ssh_rules() == [ours]


def test_two_tasks_for_gpus_bring_two_spot_workers(workers: list[Node]) -> None:
    assert len(workers) == 2
    for worker in workers:
        asked_for(worker, TYPES["gpu-spot"]["node_config"])
        assert worker.instance.get("InstanceLifecycle") == "spot"
        assert tags(worker.instance)["ray-user-node-type"] == "gpu-spot"
        assert [group["GroupName"] for group in worker.instance["SecurityGroups"]] == ["fedray"]


def test_a_worker_is_set_up_in_the_declared_order_and_joins_the_head(head: Node, workers: list[Node]) -> None:
    docker = CONFIG["docker"]
    for worker in workers:
        in_order(
            worker.asked,
            *CONFIG["initialization_commands"],
            f"docker pull {docker['image']}",
            f"{docker['image']} bash",
            *CONFIG["setup_commands"],
            *CONFIG["worker_setup_commands"],
            *CONFIG["worker_start_ray_commands"],
        )
        run = worker.host("docker run")
        assert all(option in run for option in docker["run_options"] + docker["worker_run_options"])
        assert "--runtime=nvidia" in run
        assert (worker.home / "requirements.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes()
        (start,) = worker.ran("ray start")
        assert start.what == f"ray start --address={head.instance['PrivateIpAddress']}:6379"
        assert {"CPU": 8, "GPU": 1}.items() <= json.loads(start.env["RAY_OVERRIDE_RESOURCES"]).items()


def test_an_idle_worker_is_terminated_a_busy_one_stays(cloud: Cloud, workers: list[Node], left: list[str]) -> None:
    idle, busy = (worker.instance["InstanceId"] for worker in workers)
    assert left == [busy]
    stopped = cloud.instances("worker", "stopping", "stopped")
    assert idle not in [worker["InstanceId"] for worker in stopped], "its disk would go on costing"


def test_nothing_is_left_after_ray_down(cloud: Cloud, head: Node, down: None) -> None:
    alive = ("pending", "running", "stopping", "stopped")
    assert cloud.instances("head", *alive) == [] and cloud.instances("worker", *alive) == []
    assert boto3.client("ec2").describe_volumes()["Volumes"] == []
    asked = [entry.what for entry in cloud.asked(head.instance["PublicIpAddress"])]
    assert "docker stop fedray" in asked[len(head.asked) :]


def asked_for(node: Node, declared: dict[str, Any]) -> None:
    """The cloud gave what the file declares."""
    assert node.instance["InstanceType"] == declared["InstanceType"]
    assert node.instance["ImageId"] == declared["ImageId"]
    assert node.instance["IamInstanceProfile"]["Arn"].endswith(f"/{declared['IamInstanceProfile']['Name']}")
    (disk,), (wanted,) = node.disks, declared["BlockDeviceMappings"]
    assert disk["Attachments"][0]["Device"] == wanted["DeviceName"]
    assert (disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (wanted["Ebs"]["VolumeSize"], "gp3", True)
    (mapping,) = node.instance["BlockDeviceMappings"]
    assert mapping["Ebs"]["DeleteOnTermination"]


def in_order(asked: list[Entry], *commands: str) -> None:
    """Each command was run, after the one before it. Ray puts variables in front of them."""
    ran = [entry.what for entry in asked if entry.kind in ("host", "container")]
    start = 0
    for command in commands:
        place = next((place for place in range(start, len(ran)) if ran[place].endswith(command)), None)
        assert place is not None, f"{command!r} is not in {json.dumps(ran[start:], indent=1)}"
        start = place + 1
