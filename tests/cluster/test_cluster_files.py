"""Every cluster file is valid to Ray, and holds what Ray does not look at. No cloud is asked."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster_files import ROOT, launched, pinned_ray, problems, secrets_in

FILES = sorted(ROOT.glob("cluster*.yaml"))
GONE = object()


def load(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_there_is_a_file_for_each_cloud() -> None:
    assert [(path.name, load(path)["provider"]["type"]) for path in FILES] == [
        ("cluster.gcp.yaml", "gcp"),
        ("cluster.yaml", "aws"),
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_wrong_with_it(path: Path) -> None:
    assert problems(load(path)) == []
    assert list(secrets_in(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_grows_with_the_work_up_to_its_cap_spot_nodes_first(path: Path) -> None:
    config = load(path)
    assert launched(config, {"CPU": 1}, 0) == {}
    assert launched(config, {"GPU": 1}, 1) == {"gpu-spot": 1}
    assert launched(config, {"CPU": 4, "GPU": 0.5}, 4) == {"gpu-spot": 2}, "two workers share a GPU"
    assert launched(config, {"GPU": 1}, 4) == {"gpu-spot": 4}
    assert launched(config, {"GPU": 1}, 100) == {"gpu-spot": 4, "gpu-on-demand": 1}
    assert launched(config | {"max_workers": 3}, {"GPU": 1}, 100) == {"gpu-spot": 3}


def test_the_pinned_ray_is_the_required_one() -> None:
    required = re.search(r'"ray\[[^]]+]==([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert required and required[1] == pinned_ray()


HEAD, SPOT, ON_DEMAND = (
    "available_node_types.head",
    "available_node_types.gpu-spot",
    "available_node_types.gpu-on-demand",
)

LOCKED = "uv venv --python 3.11 e; uv pip sync --require-hashes requirements.lock"
BROKEN = [
    ("colour", "red", "Additional properties are not allowed ('colour'"),
    (f"{SPOT}.resources", GONE, "'resources' is a required property"),
    (f"{SPOT}.resources.GPU", 0.5, "0.5 is not of type 'integer'"),
    ("head_node_type", "driver", "must be one of `available_node_types`"),
    ("provider.avalability_zone", "us-west-2a", "unknown keys ['avalability_zone']"),
    ("provider.region", "eu-west-1", "is not in region 'eu-west-1'"),
    ("provider.cache_stopped_nodes", GONE, "stopped nodes stay and cost"),
    (f"{SPOT}.resources.CPU", 16, "declares {'CPU': 16, 'GPU': 1}, but the machine has {'CPU': 8, 'GPU': 1}"),
    (f"{SPOT}.resources", {"CPU": 8}, "declares {'CPU': 8, 'GPU': 0}"),
    ("docker.image", "rayproject/ray-ml:latest-gpu", "docker.image must be rayproject/ray:"),
    ("docker.image", "rayproject/ray:2.54.0-py311-gpu", "docker.image must be rayproject/ray:"),
    ("docker.head_image", "rayproject/ray:2.55.1-py312-cpu", "docker.head_image must be rayproject/ray:"),
    ("docker.image", "rayproject/ray:2.55.1-py311-cpu", "the workers' image has no CUDA"),
    ("docker", {"container_name": "fedray"}, "Must provide a container & image name"),
    ("setup_commands", GONE, "setup_commands is missing"),
    ("setup_commands", ["pip install -r ~/requirements.lock"], "with --require-hashes"),
    ("setup_commands", ["pip install https://example.org/ray-3.0.0.dev0.whl"], "must not download a wheel"),
    ("head_setup_commands", GONE, "head_setup_commands is missing"),
    ("worker_start_ray_commands", GONE, "worker_start_ray_commands is missing"),
    ("file_mounts", {}, "file_mounts must bring ~/requirements.lock"),
    ("file_mounts", {"~/requirements.lock": "requirements.lock"}, "file_mounts must bring ~/.fedray"),
    ("setup_commands", ["pip install uv", LOCKED], "what the lock has a hash of, but has pip install uv"),
    ("head_start_ray_commands", ["RAY_AUTH_MODE=token ray start"], "head_start_ray_commands lack RAY_AUTH_TOKEN_PATH="),
    ("worker_start_ray_commands", ["ray start"], "worker_start_ray_commands lack RAY_AUTH_MODE=token"),
    ("worker_start_ray_commands", ["ray start"], "worker_start_ray_commands lack FEDRAY_SECRETS="),
    ("file_mounts", {"~/requirements.lock": "requirements.txt"}, "there is no requirements.txt"),
    (f"{HEAD}.resources.CPU", 4, "its resources must be CPU: 0"),
    (f"{HEAD}.max_workers", 1, "its max_workers must be 0"),
    ("head_start_ray_commands", ["ray start --head --dashboard-host=127.0.0.1"], "lack FEDRAY_CLUSTER_CONFIG"),
    ("head_start_ray_commands", ["ray start --head"], "the dashboard must be bound to 127.0.0.1"),
    ("head_start_ray_commands", ["ray start --head --dashboard-host=0.0.0.0"], "a server listens on 0.0.0.0"),
    (f"{SPOT}.min_workers", 1, "gpu-spot: min_workers must be 0"),
    (f"{SPOT}.max_workers", GONE, "gpu-spot: max_workers must be stated"),
    ("max_workers", 100, "at the most the sum of the types'"),
    ("idle_timeout_minutes", GONE, "idle_timeout_minutes must be stated"),
    (ON_DEMAND, GONE, "a spot type and an on-demand type"),
    (SPOT, GONE, "a spot type and an on-demand type"),
    (f"{ON_DEMAND}.resources", {"CPU": 8, "GPU": 1}, "for two GPUs Ray would launch"),
    ("metadata", {"aws_secret_access_key": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"}, "looks like a secret"),
    ("metadata", {"uri": "https://me:hunter2@mlflow.example.org"}, "looks like a secret"),
    ("initialization_commands", ["export MLFLOW_TRACKING_PASSWORD=hunter2hunter2"], "looks like a secret"),
]
BROKEN_ON_AWS = [
    (f"{SPOT}.node_config.InstanceType", "g5.tiny", "gpu-spot: no such instance type"),
    (f"{SPOT}.node_config.InstanceType", "m6i.2xlarge", "gpu-spot has no GPU"),
    (f"{SPOT}.node_config.InstanceMarket", {"MarketType": "spot"}, 'Unknown parameter in input: "InstanceMarket"'),
    (f"{SPOT}.node_config.BlockDeviceMappings", [{"DeviceName": "/dev/sda1"}], "its disk must be encrypted"),
    ("provider.security_group", {"GroupName": "fedray"}, "unknown keys ['security_group']"),
    (f"{SPOT}.node_config.SecurityGroupIds", GONE, "gpu-spot: without SecurityGroupIds, Ray makes a group that lets"),
    (f"{HEAD}.node_config.MetadataOptions.HttpTokens", "optional", "head: its role must be given by a token"),
    (f"{SPOT}.node_config.MetadataOptions.HttpPutResponseHopLimit", 2, "gpu-spot: its role must be given by a token"),
    ("provider.aws_credentials", {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "unknown keys ['aws_credentials']"),
]
BROKEN_ON_GCP = [
    (f"{SPOT}.node_config.machineType", "g2-standard-9", "gpu-spot: no such instance type"),
    (f"{SPOT}.node_config.machineType", "n2-standard-8", "gpu-spot has no GPU"),
    (f"{SPOT}.node_config.spot", True, "gpu-spot: unknown keys ['spot']"),
    ("provider.gcp_credentials", {"type": "service_account"}, "unknown keys ['gcp_credentials']"),
    ("provider.security_group", {"GroupName": "fedray"}, "unknown keys ['security_group']"),
]
CASES = [
    *((name, *case) for name in ("cluster.yaml", "cluster.gcp.yaml") for case in BROKEN),
    *(("cluster.yaml", *case) for case in BROKEN_ON_AWS),
    *(("cluster.gcp.yaml", *case) for case in BROKEN_ON_GCP),
]


@pytest.mark.parametrize(("name", "place", "value", "complaint"), CASES)
def test_what_is_wrong_is_found(name: str, place: str, value: object, complaint: str) -> None:
    found = problems(changed(load(ROOT / name), place, value))
    assert any(complaint in problem for problem in found), found


def changed(config: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    config = copy.deepcopy(config)  # also undoes the file's aliases
    *parents, last = place.split(".")
    inner = config
    for parent in parents:
        inner = inner[parent]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return config
