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
from botocore.client import BaseClient
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.util import prepare_config

from fedray.cluster.size import CLUSTER_CONFIG, cluster_name
from tests.support.cloud import Cloud, Entry, Head, Instance, local_cloud, tags
from tests.support.cluster_files import ROOT

FILE = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
CONFIG = yaml.safe_load(FILE)
AWS = ROOT / "docs" / "aws"
LOGINS = {"ray-token": "0123456789abcdef" * 4, "secrets": "MLFLOW_TRACKING_USERNAME=ada\n"}
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
        (cloud.home / ".fedray").mkdir(mode=0o700)
        for name, content in LOGINS.items():
            (cloud.home / ".fedray" / name).touch(mode=0o600)
            (cloud.home / ".fedray" / name).write_text(content)
        yield cloud


@pytest.fixture(scope="module")
def file(cloud: Cloud) -> Path:
    """The cluster file with the group that docs/cluster.md has people make."""
    group = boto3.resource("ec2").create_security_group(GroupName="fedray", Description="FedRay")
    group.authorize_ingress(IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group.id}]}])
    assert FILE.count("sg-CHANGE") == 1
    place = cloud.home / "cluster.yaml"
    place.write_text(FILE.replace("sg-CHANGE", group.id), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def head(cloud: Cloud, file: Path) -> Node:
    cloud.ray("up", "-y", str(file), "--no-config-cache")
    (instance,) = cloud.instances("head")
    address = instance["PublicIpAddress"]
    return Node(instance, cloud.disks(instance), cloud.asked(address), cloud.home_of(address))


@pytest.fixture(scope="module")
def called() -> list[tuple[str, dict[str, Any]]]:
    """What the head's autoscaler asked of the cloud, with its arguments."""
    return []


@pytest.fixture(scope="module")
def autoscaler(head: Node, called: list[tuple[str, dict[str, Any]]]) -> Iterator[Head]:
    """The head's autoscaler, in the head's home directory, with what `ray up` left there."""
    call = BaseClient._make_api_call

    def noted(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        called.append((f"{client.meta.service_model.service_name}:{operation}", copy.deepcopy(arguments)))
        return call(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
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
def down(cloud: Cloud, file: Path, left: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(cloud.home))
        cloud.ray("down", "-y", str(file))


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
    finds_its_logins(head, start)


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


def test_nothing_is_open_to_the_world(cloud: Cloud, head: Node) -> None:
    (group,) = head.instance["SecurityGroups"]
    assert group["GroupName"] == "fedray"
    (within,) = cloud.rules("fedray")
    assert [pair["GroupId"] for pair in within["UserIdGroupPairs"]] == [group["GroupId"]] and not within["IpRanges"]


def test_without_a_group_of_ones_own_ray_opens_ssh_to_the_world(
    cloud: Cloud, head: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the file names a group: should Ray mend this, the file may lose it."""
    monkeypatch.setenv("HOME", str(cloud.home))
    config = copy.deepcopy(CONFIG)
    for kind in config["available_node_types"].values():
        del kind["node_config"]["SecurityGroupIds"]
    config["provider"]["security_group"] = {"GroupName": "made by Ray"}
    bootstrap_aws(prepare_config(config))
    assert [{"CidrIp": "0.0.0.0/0"}] in [rule["IpRanges"] for rule in cloud.rules("made by Ray")]


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
        finds_its_logins(worker, start)


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


def test_the_heads_role_allows_what_its_autoscaler_asks_and_little_more(
    called: list[tuple[str, dict[str, Any]]], workers: list[Node], left: list[str]
) -> None:
    policy = json.loads((AWS / "fedray-head.json").read_text(encoding="utf-8"))["Statement"]
    allowed = {action for statement in policy for action in statement["Action"]}
    asked = {operation for operation, _ in called} - {"ec2:DescribeVolumes"}  # this test's own: `cloud.disks`
    assert asked == {"ec2:DescribeInstances", "ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances"}
    beside = {"iam:PassRole", "ssm:GetParameters", "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    assert allowed == asked | beside, "no more than these, and each named in full"
    for statement in policy:
        assert statement["Resource"] != "*" or statement["Action"] == ["ec2:DescribeInstances"], statement["Sid"]


def test_the_heads_role_starts_workers_of_this_cluster_and_of_these_types_alone(
    called: list[tuple[str, dict[str, Any]]], workers: list[Node], left: list[str]
) -> None:
    """The conditions of its policy, on what Ray really asked."""
    policy = {
        statement["Sid"]: statement["Condition"]
        for statement in json.loads((AWS / "fedray-head.json").read_text(encoding="utf-8"))["Statement"]
        if "Condition" in statement
    }
    (must,) = (policy["StartWorkersOfThisClusterAlone"][kind] for kind in ("StringEquals",))
    assert must["ec2:InstanceType"] == sorted(
        {kind["node_config"]["InstanceType"] for name, kind in TYPES.items() if name != CONFIG["head_node_type"]}
    )
    launches = [arguments for operation, arguments in called if operation == "ec2:RunInstances"]
    assert launches
    for asked in launches:
        given = {tag["Key"]: tag["Value"] for spec in asked["TagSpecifications"] for tag in spec["Tags"]}
        assert must["aws:RequestTag/ray-cluster-name"] == given["ray-cluster-name"] == CONFIG["cluster_name"]
        assert must["aws:RequestTag/ray-node-type"] == given["ray-node-type"]
        assert must["ec2:MetadataHttpTokens"] == asked["MetadataOptions"]["HttpTokens"]
        assert asked["InstanceType"] in must["ec2:InstanceType"]
        profile = policy["StartWorkersOfThisClusterAlone"]["ArnLike"]["ec2:InstanceProfile"]
        assert profile.endswith("/" + asked["IamInstanceProfile"].get("Name", "?"))
    named = policy["SayHowFarTheyAre"]["ForAllValues:StringEquals"]["aws:TagKeys"]
    later = {
        tag["Key"] for operation, asked in called if operation == "ec2:CreateTags" for tag in asked.get("Tags", [])
    }
    assert later and later <= set(named)


@pytest.mark.parametrize("file", sorted(AWS.glob("*.json")), ids=lambda path: path.stem)
def test_a_policy_is_one_that_iam_takes(cloud: Cloud, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for statement in json.loads(text)["Statement"]:
        assert statement["Effect"] == "Allow" and not {"NotAction", "NotResource"} & statement.keys()
        assert not [action for action in statement["Action"] if "*" in action]
    iam = boto3.client("iam")
    if "Principal" in text:
        iam.create_role(RoleName=file.stem, AssumeRolePolicyDocument=text)
    else:
        assert len(text) < 10_240, "an inline policy's limit"
        iam.create_policy(PolicyName=file.stem, PolicyDocument=text)


def finds_its_logins(node: Node, start: Entry) -> None:
    """Its Ray asks for the token that was brought there, by a file that none but its user reads; no line has it."""
    assert (start.env["RAY_AUTH_MODE"], start.env["RAY_AUTH_TOKEN_PATH"]) == ("token", "~/.fedray/ray-token")
    assert start.env["FEDRAY_SECRETS"] == "~/.fedray/secrets"
    for name, content in LOGINS.items():
        assert (node.home / ".fedray" / name).read_text() == content
        assert not [entry for entry in node.asked if content.strip() in entry.what + str(entry.env)]


def asked_for(node: Node, declared: dict[str, Any]) -> None:
    """The cloud gave what the file declares."""
    assert node.instance["InstanceType"] == declared["InstanceType"]
    assert node.instance["ImageId"] == declared["ImageId"]
    assert node.instance["MetadataOptions"]["HttpTokens"] == "required"
    assert node.instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
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
