"""What must hold for a cluster file beyond what Ray's own validation finds in it."""

import copy
import gzip
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.schema import AutoscalerInstance
from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus, ResourceRequest, ResourceRequestByCount
from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

ROOT = Path(__file__).parents[2]
HEAD_ONLY = "node:__internal_head__"  # the resource by which Ray knows the head

Config = dict[str, Any]

PROVIDER_KEYS = {
    "aws": {"type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips"},
    "gcp": {"type", "region", "availability_zone", "cache_stopped_nodes", "project_id", "use_internal_ips"},
}
GCP_NODE_KEYS = {
    "machineType",
    "disks",
    "scheduling",
    "serviceAccounts",
    "guestAccelerators",
    "metadata",
    "networkInterfaces",
}
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
SECRETS = (
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    r"PRIVATE KEY",
    r"\bAIza[0-9A-Za-z_-]{35}",
    r"(?i)(password|passwd|secret|token|credentials?|access_key\w*)[\"']?\s*[=:]\s*[\"']?[\w/+-]{6,}",
    r"://[^/\s:@]+:[^/\s@]+@",
)
# GPUs that a machine type brings itself: https://cloud.google.com/compute/docs/gpus
G2_GPUS = {4: 1, 8: 1, 12: 1, 16: 1, 32: 1, 24: 2, 48: 4, 96: 8}


def problems(config: Config) -> list[str]:
    """List what is wrong with a cluster file, Ray's own complaint first."""
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except Exception as error:  # it raises whatever it stumbled over
        return [f"Ray: {str(error).splitlines()[0]}"]
    return [f"{check.__name__}: {problem}" for check in CHECKS for problem in check(config)]


def pinned_ray() -> str:
    found = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def workers(config: Config) -> dict[str, Config]:
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def is_spot(kind: Config) -> bool:
    node = kind["node_config"]
    market, scheduling = node.get("InstanceMarketOptions", {}), node.get("scheduling", {})
    return bool(market.get("MarketType") == "spot" or scheduling.get("provisioningModel") == "SPOT")


def launched(config: Config, demand: dict[str, float], count: int) -> dict[str, int]:
    """Ask the scheduler of Ray's autoscaler what it launches for a demand, with only the head there."""
    autoscaling = AutoscalingConfig(copy.deepcopy(config), skip_content_hash=True)
    head_type = config["head_node_type"]
    resources = {HEAD_ONLY: 1.0, **config["available_node_types"][head_type]["resources"]}
    head = AutoscalerInstance(
        cloud_instance_id="head",
        im_instance=Instance(
            instance_id="head",
            instance_type=head_type,
            status=Instance.RAY_RUNNING,
            node_kind=NodeKind.HEAD,
            node_id="00",
        ),
        ray_node=NodeState(
            node_id=b"\0", status=NodeStatus.RUNNING, total_resources=resources, available_resources=resources
        ),
    )
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            node_type_configs=autoscaling.get_node_type_configs(),
            max_num_nodes=autoscaling.get_max_num_nodes(),
            resource_requests=[ResourceRequestByCount(request=ResourceRequest(resources_bundle=demand), count=count)],
            current_instances=[head],
            disable_launch_config_check=True,
        )
    )
    return {request.instance_type: request.count for request in reply.to_launch}


def provider(config: Config) -> Iterator[str]:
    given = config["provider"]
    if unknown := set(given) - PROVIDER_KEYS[given["type"]]:
        yield f"unknown keys {sorted(unknown)}"
    for zone in given.get("availability_zone", "").split(","):
        if not zone.startswith(str(given.get("region"))):
            yield f"zone {zone!r} is not in region {given.get('region')!r}"
    if given.get("cache_stopped_nodes") is not False:
        yield "stopped nodes stay and cost: cache_stopped_nodes must be false"


def instance_types(config: Config) -> Iterator[str]:
    """Instance types exist, and a node type's resources are the machine's."""
    known = _aws_machine if config["provider"]["type"] == "aws" else _gcp_machine
    for name, kind in config["available_node_types"].items():
        machine = known(kind["node_config"])
        if machine is None:
            yield f"{name}: no such instance type"
        elif name != config["head_node_type"]:
            declared = {key: kind["resources"].get(key, 0) for key in ("CPU", "GPU")}
            if declared != machine:
                yield f"{name} declares {declared}, but the machine has {machine}"
            if not machine["GPU"]:
                yield f"{name} has no GPU"


def node_configs(config: Config) -> Iterator[str]:
    """What the cloud is asked for is something it knows."""
    for name, kind in config["available_node_types"].items():
        if config["provider"]["type"] == "gcp":
            if unknown := set(kind["node_config"]) - GCP_NODE_KEYS:
                yield f"{name}: unknown keys {sorted(unknown)}"
            continue
        report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **kind["node_config"]}, _run_instances())
        if report.has_errors():
            yield f"{name}: {report.generate_report()}"
        for disk in kind["node_config"].get("BlockDeviceMappings", [{}]):
            if not (disk.get("Ebs", {}).get("Encrypted") and disk["Ebs"].get("DeleteOnTermination")):
                yield f"{name}: its disk must be encrypted and end with the node"
        told = kind["node_config"].get("MetadataOptions", {})
        if (told.get("HttpTokens"), told.get("HttpPutResponseHopLimit")) != ("required", 1):
            yield f"{name}: its role must be given by a token, to the node alone: MetadataOptions"
        if not kind["node_config"].get("SecurityGroupIds"):
            yield f"{name}: without SecurityGroupIds, Ray makes a group that lets the world in at port 22"


def image(config: Config) -> Iterator[str]:
    """Every image has the pinned Ray and the Python that requirements.lock is for."""
    docker = config.get("docker", {})
    if "image" not in docker:
        yield "docker.image must be given: the autoscaler reads it even where another overrides it"
    for key, name in docker.items():
        if key.endswith("image") and not re.fullmatch(rf"rayproject/ray:{re.escape(pinned_ray())}-py311-[cg]pu", name):
            yield f"docker.{key} must be rayproject/ray:{pinned_ray()}-py311-cpu or -gpu, but is {name}"
    if not docker.get("worker_image", docker.get("image", "")).endswith("-gpu"):
        yield "the workers' image has no CUDA"


def commands(config: Config) -> Iterator[str]:
    """No command list is left to Ray's defaults; set-up installs the lock, and the lock is there."""
    for missing in (name for name in COMMANDS if name not in config):
        yield f"{missing} is missing: Ray would fill in its default"
    setup = "\n".join(config.get("setup_commands", []))
    if "--require-hashes" not in setup or "requirements.lock" not in setup or "--python 3.11" not in setup:
        yield "set-up must install requirements.lock for Python 3.11 with --require-hashes"
    if re.search(r"https?://|\.whl", setup):
        yield "set-up must not download a wheel by its address"
    for install in re.findall(r"pip install.*|pip sync.*", setup):
        if "--require-hashes" not in install:
            yield f"set-up must install what the lock has a hash of, but has {install}"
    mounts = config.get("file_mounts", {})
    for needed in ("~/requirements.lock", "~/.fedray"):
        if needed not in mounts:
            yield f"file_mounts must bring {needed}"
    for source in mounts.values():
        if not source.startswith("~/") and not (ROOT / source).exists():
            yield f"file_mounts: there is no {source} in the repository"


def head(config: Config) -> Iterator[str]:
    """The head takes no work, tells jobs how large the cluster may become, and gives a stopped job time."""
    kind = config["available_node_types"][config["head_node_type"]]
    if kind["resources"].get("CPU") != 0 or kind["resources"].get("GPU", 0):
        yield f"its resources must be CPU: 0, but are {kind['resources']}"
    if kind.get("max_workers") != 0:
        yield "its max_workers must be 0"
    start = "\n".join(config.get("head_start_ray_commands", []))
    for needed in (
        "FEDRAY_CLUSTER_CONFIG=~/ray_bootstrap_config.yaml",
        "--autoscaling-config=~/ray_bootstrap_config.yaml",
        "RAY_JOB_STOP_WAIT_TIME_S=",
    ):
        if needed not in start:
            yield f"head_start_ray_commands lack {needed}"


def scaling(config: Config) -> Iterator[str]:
    """From nothing to a stated cap and back, spot nodes first."""
    kinds = workers(config)
    for name, kind in kinds.items():
        if kind.get("min_workers") != 0:
            yield f"{name}: min_workers must be 0"
        if kind.get("max_workers", 0) < 1:
            yield f"{name}: max_workers must be stated"
    if not 1 <= config.get("max_workers", 0) <= sum(kind.get("max_workers", 0) for kind in kinds.values()):
        yield "max_workers must be at least 1 and at the most the sum of the types'"
    if not config.get("idle_timeout_minutes"):
        yield "idle_timeout_minutes must be stated"
    spot = {name for name, kind in kinds.items() if is_spot(kind)}
    if not spot or spot == set(kinds):
        yield "there must be a spot type and an on-demand type"
    elif (chosen := launched(config, {"GPU": 1}, 2)).keys() - spot:
        yield f"for two GPUs Ray would launch {chosen}, though there are spot types: {sorted(spot)}"


def ports(config: Config) -> Iterator[str]:
    """Nothing but SSH is reachable from outside the cluster."""
    for command in (command for name in COMMANDS for command in config.get(name, [])):
        for host in re.findall(r"--[a-z-]*host[= ](\S+)", command):
            if host not in ("127.0.0.1", "localhost"):
                yield f"a server listens on {host}: {command}"
    if "--dashboard-host=127.0.0.1" not in "\n".join(config.get("head_start_ray_commands", [])):
        yield "the dashboard must be bound to 127.0.0.1"


def login(config: Config) -> Iterator[str]:
    """Every node's Ray asks for the token, and its jobs find their logins: neither stands in a command."""
    for part in ("head", "worker"):
        start = next((each for each in config.get(f"{part}_start_ray_commands", []) if "ray start" in each), "")
        before = start.partition("ray start")[0]
        for needed in (
            "RAY_AUTH_MODE=token",
            "RAY_AUTH_TOKEN_PATH=~/.fedray/ray-token",
            "FEDRAY_SECRETS=~/.fedray/secrets",
        ):
            if needed not in before:
                yield f"{part}_start_ray_commands lack {needed}"


def secrets(config: Config) -> Iterator[str]:
    """No value looks like one that belongs in nobody's repository."""
    yield from secrets_in(json.dumps(config))


def secrets_in(text: str) -> Iterator[str]:
    for pattern in SECRETS:
        for found in re.finditer(pattern, text):
            yield f"looks like a secret: {found[0][:12]}..."


CHECKS: tuple[Callable[[Config], Iterator[str]], ...] = (
    provider,
    instance_types,
    node_configs,
    image,
    commands,
    head,
    scaling,
    ports,
    login,
    secrets,
)


@cache
def _run_instances() -> Any:
    """Return what EC2 takes when asked for instances."""
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _aws_machine(node: Config) -> dict[str, int] | None:
    machine = _aws_machines().get(node["InstanceType"])
    if machine is None:
        return None
    gpus = sum(gpu["Count"] for gpu in machine.get("GpuInfo", {}).get("Gpus", []))
    return {"CPU": machine["VCpuInfo"]["DefaultVCpus"], "GPU": gpus}


@cache
def _aws_machines() -> dict[str, Any]:
    """Return EC2's description of its instance types, as moto ships it."""
    packed = (files("moto") / "ec2" / "resources" / "instance_types.json.gz").read_bytes()
    return dict(json.loads(gzip.decompress(packed)))


def _gcp_machine(node: Config) -> dict[str, int] | None:
    """Read CPUs and GPUs off a machine type's name: there is no list of them that needs no network."""
    found = re.fullmatch(r"(n1|n2|e2|c3|g2)-(standard|highmem|highcpu)-(\d+)", node["machineType"])
    if found is None or (found[1] == "g2" and int(found[3]) not in G2_GPUS):
        return None
    extra = sum(accelerator["acceleratorCount"] for accelerator in node.get("guestAccelerators", []))
    return {"CPU": int(found[3]), "GPU": extra + (G2_GPUS[int(found[3])] if found[1] == "g2" else 0)}
