"""The manifests are valid and keep their promises, as written and as kustomize builds them; broken ones are found."""

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from fedray.cluster import cluster_name, cluster_size
from tests.support.manifests import (
    CHECKS,
    FOLDER,
    ROOT,
    SECRETS,
    Manifest,
    autoscaling_config,
    check_secrets_in_text,
    of_kind,
    parse,
    pin,
)

BASES = ("base/ray", "base/mlflow", "base/sweep")
OVERLAYS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("overlays/*") if path.is_dir())
CLUSTERS = [overlay for overlay in OVERLAYS if f"{overlay}-sweep" in OVERLAYS]
"""Overlays with a cluster; their sweeps are beside them. Copies that a person made are here too."""
DELETED = object()


def written() -> list[Manifest]:
    """The bases as their files say, with the generated ConfigMaps."""
    manifests = []
    for base in BASES:
        kustomization = yaml.safe_load((FOLDER / base / "kustomization.yaml").read_text())
        for resource in kustomization["resources"]:
            manifests += parse((FOLDER / base / resource).read_text())
        for generated in kustomization.get("configMapGenerator", []):
            data = {name: (FOLDER / base / name).read_text() for name in generated["files"]}
            metadata = {"name": generated["name"]}
            manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return manifests


def build(folder: Path) -> list[Manifest]:
    """What kustomize makes of a folder."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl, which has kustomize in it, is not installed")
    result = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return parse(result.stdout)


@cache
def build_with_sweep(overlay: str) -> list[Manifest]:
    return build(FOLDER / overlay) + build(FOLDER / f"{overlay}-sweep")


@pytest.fixture
def example() -> list[Manifest]:
    return copy.deepcopy(build_with_sweep("overlays/example"))


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_written_holds(check: str) -> None:
    assert list(CHECKS[check](written())) == []


@pytest.mark.parametrize("overlay", CLUSTERS)
@pytest.mark.parametrize("check", CHECKS)
def test_what_an_overlay_makes_of_it_holds(check: str, overlay: str) -> None:
    assert list(CHECKS[check](build_with_sweep(overlay))) == []


def test_the_example_changes_what_it_says(example: list[Manifest]) -> None:
    cluster, job = of_kind(example, "RayCluster")[0], of_kind(example, "RayJob")[0]
    assert [group["maxReplicas"] for group in cluster["spec"]["workerGroupSpecs"]] == [4, 2]
    images = set(re.findall(r"'image': '([^']+)'", str(example)))
    ours = {f"REGISTRY.example/{name.lower()}@sha256:DIGEST-OF-{name}" for name in ("FEDRAY", "FEDRAY-MLFLOW")}
    assert images > ours and all(re.match(r"postgres:17\.7@sha256:[0-9a-f]{64}$", each) for each in images - ours)
    assert {each["metadata"].get("namespace") for each in example if each["kind"] != "Namespace"} == {"fedray"}
    assert "fedray-results" not in str(example), "the base's bucket is still there"
    assert "EXAMPLE-BUCKET" in job["spec"]["entrypoint"]


HEAD = "spec/headGroupSpec/template/spec"
SPOT = "spec/workerGroupSpecs/0"
LIMITS = f"{SPOT}/template/spec/containers/0/resources/limits"
NAME = "app.kubernetes.io~name"
PASSWORD = {"name": "MLFLOW_TRACKING_PASSWORD", "value": "x"}
POD = "spec/template/spec"
BROKEN = [
    ("schemas", "RayCluster fedray", "spec/autoscalerOption", {}, "autoscalerOption"),
    ("schemas", "RayCluster fedray", "spec/autoscalerOptions/version", "v3", "'v3'"),
    ("schemas", "RayCluster fedray", "spec/headGroupSpec/rayStartParams/num-cpus", 0, "0 is not of type"),
    ("schemas", "RayCluster fedray", f"{SPOT}/maxReplicas", "8", "'8'"),
    ("schemas", "RayCluster fedray", f"{SPOT}/minReplicas", DELETED, "minReplicas"),
    ("schemas", "RayCluster fedray", f"{SPOT}/priority", 1, "priority"),
    ("schemas", "RayCluster fedray", f"{HEAD}/containers/0/images", "x", "images"),
    ("schemas", "RayCluster fedray", f"{HEAD}/containers/0/ports/0/containerPort", "6379", "'6379'"),
    ("schemas", "RayCluster fedray", f"{SPOT}/template/spec/containers/0/name", DELETED, "name"),
    ("schemas", "RayCluster fedray", "spec/autoscalerOptions/securityContext/runAsNonroot", True, "runAsNonroot"),
    ("schemas", "RayJob fedray-sweep", "spec/clusterSelector", DELETED, "not valid"),
    ("schemas", "RayJob fedray-sweep", "spec/backoffLimit", 2, "2 is greater"),
    ("schemas", "RayJob fedray-sweep", "spec/suspend", True, "False was expected"),
    ("schemas", "RayJob fedray-sweep", "spec/ttlSecondsAfterFinished", 600, "600 is greater"),
    ("schemas", "RayJob fedray-sweep", "spec/submissionMode", "SidecarMode", "SidecarMode"),
    ("schemas", "RayJob fedray-sweep", "spec/submitterPodTemplate/spec/restartpolicy", "Never", "restartpolicy"),
    ("schemas", "Deployment mlflow", "spec/selector", DELETED, "selector"),
    ("schemas", "Deployment mlflow", f"{POD}/containers/0/startupProbe/httpget", {}, "httpget"),
    ("schemas", "StatefulSet mlflow-postgres", "spec/replicas", "1", "'1'"),
    ("schemas", "NetworkPolicy mlflow", "spec/ingres", [], "ingres"),
    ("ray_version", "RayCluster fedray", "spec/rayVersion", "2.54.0", "2.54.0"),
    ("node_types", "RayCluster fedray", f"{SPOT}/maxReplicas", 9, "gpu-spot"),
    ("node_types", "RayCluster fedray", f"{SPOT}/minReplicas", 1, "gpu-spot"),
    ("node_types", "RayCluster fedray", f"{SPOT}/groupName", "spot", "spot"),
    ("node_types", "RayCluster fedray", f"{LIMITS}/cpu", "8", "gpu-spot"),
    ("node_types", "RayCluster fedray", f"{LIMITS}/nvidia.com~gpu", "2", "GPU"),
    ("node_types", "RayCluster fedray", "metadata/name", "other", "cluster_name"),
    ("scaling", "RayCluster fedray", "spec/enableInTreeAutoscaling", False, "autoscaler"),
    ("scaling", "RayCluster fedray", "spec/autoscalerOptions/idleTimeoutSeconds", DELETED, "idle"),
    ("scaling", "RayCluster fedray", "spec/headGroupSpec/rayStartParams/num-cpus", "3", "head"),
    ("scaling", "RayCluster fedray", f"{SPOT}/replicas", 1, "no node"),
    ("scaling", "RayCluster fedray", f"{SPOT}/maxReplicas", 2147483647, "no limit"),
    ("scaling", "RayCluster fedray", f"{SPOT}/template/spec/tolerations", [], "nvidia.com/gpu"),
    ("resources", "RayCluster fedray", f"{HEAD}/containers/0/resources/requests/cpu", "1", "must equal"),
    ("resources", "RayCluster fedray", "spec/autoscalerOptions/resources", DELETED, "autoscaler"),
    ("resources", "RayJob fedray-sweep", "spec/submitterPodTemplate/spec/containers/0/resources", DELETED, "submitter"),
    ("secrets", "RayCluster fedray", f"{HEAD}/containers/0/env/2", PASSWORD, "secret"),
    ("secrets", "ConfigMap fedray-settings", "data/AWS_SECRET_ACCESS_KEY", "x", "AWS_SECRET_ACCESS_KEY"),
    ("secrets", "ConfigMap fedray-settings", "data/MLFLOW_TRACKING_URI", "http://me:pw@mlflow:5000", "looks like"),
    ("secrets", "ServiceAccount mlflow", "kind", "Secret", "is in a file"),
    ("exposure", "Service mlflow", "spec/type", "LoadBalancer", "LoadBalancer"),
    ("exposure", "Service mlflow-postgres", "spec/type", "NodePort", "NodePort"),
    ("exposure", "RayCluster fedray", "spec/headGroupSpec/serviceType", "LoadBalancer", "ClusterIP"),
    ("exposure", "RayCluster fedray", "spec/headGroupSpec/enableIngress", True, "ClusterIP"),
    ("exposure", "RayCluster fedray", f"{HEAD}/hostNetwork", True, "network"),
    ("exposure", "Service mlflow", "kind", "Ingress", "opens"),
    ("rights", "RayCluster fedray", f"{HEAD}/securityContext/runAsUser", 0, "root"),
    ("rights", "RayCluster fedray", f"{HEAD}/automountServiceAccountToken", DELETED, "head holds a token"),
    ("rights", "RayCluster fedray", f"{HEAD}/containers/0/volumeMounts/0/name", "kubernetes-api", "autoscaler's token"),
    ("rights", "RayCluster fedray", f"{HEAD}/containers/0/securityContext", DELETED, "privileges"),
    ("rights", "RayCluster fedray", "spec/autoscalerOptions/securityContext", DELETED, "autoscaler"),
    ("rights", "RayCluster fedray", f"{SPOT}/template/spec/automountServiceAccountToken", True, "token"),
    ("rights", "RayCluster fedray", f"{SPOT}/template/spec/terminationGracePeriodSeconds", 0, "no time"),
    ("rights", "Deployment mlflow", f"{POD}/enableServiceLinks", DELETED, "MLFLOW_PORT"),
    ("rights", "Deployment mlflow", f"{POD}/containers/0/securityContext/capabilities", DELETED, "capabilities"),
    ("network", "NetworkPolicy mlflow", "spec/ingress/0/from", DELETED, "anybody"),
    ("network", "NetworkPolicy fedray-ray", "spec/ingress/0/from/0", {"namespaceSelector": {}}, "anybody"),
    ("network", "NetworkPolicy fedray-ray-dashboard", "spec/ingress/0/ports", DELETED, "all ports"),
    ("network", "NetworkPolicy fedray-ray-dashboard", "spec/ingress/0/from/1/namespaceSelector", {}, "anybody"),
    ("network", "NetworkPolicy default-deny", "spec/policyTypes", ["Ingress"], "no policy by which nothing"),
    ("network", "NetworkPolicy fedray-ray", "spec/egress/2/ports", DELETED, "lets all out"),
    ("network", "NetworkPolicy fedray-ray", "spec/egress/2/to/0/ipBlock/except", DELETED, "node's role"),
    ("network", "RayCluster fedray", "spec/authOptions/mode", "disabled", "no token"),
    ("network", "NetworkPolicy mlflow-postgres", f"spec/podSelector/matchLabels/{NAME}", "x", "no policy"),
    ("images", "Deployment mlflow", f"{POD}/containers/0/image", "fedray-mlflow", "no version"),
    ("images", "StatefulSet mlflow-postgres", f"{POD}/containers/0/image", "postgres:latest", "no version"),
    ("images", "StatefulSet mlflow-postgres", f"{POD}/containers/0/image", "postgres:17.7", "no digest"),
    ("references", "RayCluster fedray", f"{HEAD}/volumes/1/configMap/name", "x", "no ConfigMap x"),
    ("references", "RayCluster fedray", f"{HEAD}/serviceAccountName", "x", "no ServiceAccount x"),
    ("references", "RayCluster fedray", f"{HEAD}/containers/0/volumeMounts/1/mountPath", "/etc/x", "not mounted"),
    ("references", "Deployment mlflow", f"{POD}/containers/0/env/1/valueFrom/secretKeyRef/key", "x", "no key x"),
    ("environment", "RayCluster fedray", f"{SPOT}/template/spec/containers/0/envFrom", [], "settings"),
    ("environment", "RayCluster fedray", f"{HEAD}/containers/0/env/1", DELETED, "RAY_JOB_STOP_WAIT_TIME_S"),
    ("environment", "ConfigMap fedray-settings", "data/FEDRAY_RESULTS", "/results", "s3://"),
    ("environment", "ConfigMap mlflow-settings", "data/MLFLOW_SERVER_ALLOWED_HOSTS", "localhost:5000", "403"),
    ("job", "RayJob fedray-sweep", "spec/clusterSelector/ray.io~cluster", "other", "goes to"),
    ("job", "RayJob fedray-sweep", "spec/entrypoint", "python jobs/sweep.py --out s3://b/x", "starts"),
    ("job", "RayJob fedray-sweep", "spec/entrypoint", "python jobs/sweep_wgan.py", "shared place"),
    ("job", "RayJob fedray-sweep", "spec/submitterPodTemplate/spec/containers/0/env", [], "without Ray's token"),
    ("job", "RayJob fedray-sweep", "spec/submitterPodTemplate/metadata/labels", {"a": "b"}, "admits"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "manifest", "path", "value", "found"), BROKEN)
def test_a_broken_manifest_is_found(check: str, manifest: str, path: str, value: Any, found: str) -> None:
    manifests = written()
    kind, name = manifest.split()
    put(next(each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name), path, value)
    assert found in "; ".join(CHECKS[check](manifests))


def test_every_check_is_tried_on_something_broken() -> None:
    assert {check for check, *_ in BROKEN} == set(CHECKS)


def test_a_quota_that_is_not_the_caps_is_found(example: list[Manifest]) -> None:
    put(of_kind(example, "ResourceQuota")[0], "spec/hard/requests.nvidia.com~gpu", "12")
    assert list(CHECKS["scaling"](example)) == ["the quota is 12 GPUs, but the groups may take 6"]


def put(manifest: Manifest, path: str, value: Any) -> None:
    """Change one place; ``~`` in a key stands for a slash."""
    *parents, last = [int(key) if key.isdigit() else key.replace("~", "/") for key in path.split("/")]
    place: Any = manifest
    for key in parents:
        place = place[key]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value


def kustomization_problems(folder: Path) -> Iterator[str]:
    """A kustomization names files that exist, and all of them; its patches change what it has."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    patches = kustomization.get("patches", [])
    named = [*kustomization["resources"], *(patch["path"] for patch in patches if "path" in patch)]
    named += [name for generated in kustomization.get("configMapGenerator", []) for name in generated["files"]]
    yield from (f"there is no {name}" for name in named if not (folder / name).exists())
    there = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
    yield from (f"{name} is not used" for name in sorted(there - set(named)))
    have = {(each["kind"], each["metadata"]["name"]) for each in resources(folder)}
    for patch in patches:
        if "target" in patch:
            kind, name = patch["target"]["kind"], patch["target"].get("name")
            if not any(kind == each and name in (None, other) for each, other in have):
                yield f"there is no {kind} {name or ''} to patch"
        elif (folder / patch["path"]).exists():
            for change in parse((folder / patch["path"]).read_text()):
                if (key := (change["kind"], change["metadata"]["name"])) not in have:
                    yield f"there is no {' '.join(key)} to patch"


def resources(folder: Path) -> Iterator[Manifest]:
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        if (folder / name).is_dir():
            yield from resources(folder / name)
        elif (folder / name).exists():
            yield from parse((folder / name).read_text())


@pytest.mark.parametrize("folder", [*BASES, *OVERLAYS])
def test_kustomizations_are_whole(folder: str) -> None:
    assert list(kustomization_problems(FOLDER / folder)) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda folder: (folder / "quota.yaml").unlink(), "there is no quota.yaml"),
        (lambda folder: (folder / "more.yaml").touch(), "more.yaml is not used"),
        (lambda folder: replace(folder / "settings.yaml", "fedray-settings", "settings"), "ConfigMap settings"),
        (lambda folder: replace(folder / "kustomization.yaml", "name: fedray}", "name: ray}"), "RayCluster ray"),
    ],
)
def test_a_kustomization_that_is_not_whole_is_found(change: Any, found: str, tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "kubernetes") / "overlays/example"
    change(folder)
    assert found in "; ".join(kustomization_problems(folder))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_kustomize_refuses_a_patch_of_what_is_not_there(tmp_path: Path) -> None:
    build(FOLDER / "overlays/example")  # skips where there is no kubectl
    folder = shutil.copytree(FOLDER, tmp_path / "kubernetes") / "overlays/example"
    replace(folder / "groups.yaml", "/spec/workerGroupSpecs/1/maxReplicas", "/spec/workerGroupSpecs/2/maxReplicas")
    assert subprocess.run(["kubectl", "kustomize", folder], capture_output=True, timeout=60).returncode != 0


def dockerfile_problems(text: str) -> Iterator[str]:
    """The image has the pinned Ray, the lock's dependencies by their hashes, and the repository's code."""
    if (base := re.search(r"^FROM (\S+)", text, re.MULTILINE)) and base[1] != f"rayproject/ray:{pin('ray')}-py311-gpu":
        yield f"the base image is {base[1]}, but the lock has Ray {pin('ray')}"
    if "pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock" not in text:
        yield "dependencies are not installed by their hashes"
    copied = [name for line in re.findall(r"^COPY --\S+ (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    yield from (f"there is no {name} to copy" for name in copied if not (ROOT / name).exists())
    wanted = {"requirements.lock", "fedray", "jobs", "search_spaces"}
    yield from (f"{name} is not copied" for name in sorted(wanted - set(copied)))


def test_the_image_is_made_of_what_is_pinned() -> None:
    assert list(dockerfile_problems((FOLDER / "Dockerfile").read_text())) == []
    assert f'"ray[default,tune,train]=={pin("ray")}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("ray:2.55.1", "ray:2.54.0", "2.54.0"),
        ("--require-hashes ", "", "hashes"),
        ("users jobs jobs", "users job jobs", "there is no job to copy"),
        ("COPY --chown=ray:users search_spaces search_spaces", "", "search_spaces is not copied"),
    ],
)
def test_a_broken_dockerfile_is_found(old: str, new: str, found: str) -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert old in text
    assert found in "; ".join(dockerfile_problems(text.replace(old, new)))


def mlflow_problems(manifests: list[Manifest]) -> Iterator[str]:
    """The server is called with options that it has, and asks for logins."""
    from mlflow.cli import server

    container = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    options = {name for option in server.params for name in option.opts}
    given = dict(argument.partition("=")[::2] for argument in container["args"])
    yield from (f"mlflow server has no {name}" for name in given if name not in options)
    if given.get("--app-name") != "basic-auth":
        yield "the server asks for no login"
    if not given.get("--allowed-hosts"):
        yield "the server answers to every name"
    if (version := container["image"].rpartition(":")[2]) != pin("mlflow"):
        yield f"the server's version is {version}, the client's {pin('mlflow')}"
    if container["livenessProbe"]["httpGet"]["path"] != "/health":
        yield "the probe needs a login"


def test_the_mlflow_server_is_called_as_it_wants() -> None:
    assert list(mlflow_problems(written())) == []


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("args/3", "--app=basic-auth", "no --app;"),
        ("args/7", "--allowed-hosts", "every name"),
        ("image", "fedray-mlflow:3.16.0", "3.16.0"),
        ("livenessProbe/httpGet/path", "/", "login"),
    ],
)
def test_a_wrong_call_of_the_mlflow_server_is_found(path: str, value: str, found: str) -> None:
    manifests = written()
    put(of_kind(manifests, "Deployment")[0], f"{POD}/containers/0/{path}", value)
    assert found in "; ".join(mlflow_problems(manifests))


def test_fedray_reads_the_cluster_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDRAY_CLUSTER_CONFIG", str(FOLDER / "base/ray/cluster.yaml"))
    # A cluster in which only the head is up.
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    head = {"node:__internal_head__": 1.0, "memory": 1e9}
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": head}])
    size = cluster_size()
    assert (cluster_name(), size.gpus, size.slots(7, 1), size.num_down) == ("fedray", 12, 12, 12)


@pytest.mark.parametrize(
    ("trials", "unavailable", "launched"),
    [
        (1, {}, {"gpu-spot": 1}),
        (1, {"gpu-spot": 0.0}, {"gpu-on-demand": 1}),
        (10, {}, {"gpu-spot": 8, "gpu-on-demand": 2}),
        (50, {}, {"gpu-spot": 8, "gpu-on-demand": 4}),
    ],
)
def test_ray_launches_spot_first_and_never_more_than_the_caps(
    trials: int, unavailable: dict[str, float], launched: dict[str, int]
) -> None:
    config = AutoscalingConfig(autoscaling_config(of_kind(written(), "RayCluster")[0]), skip_content_hash=True)
    worker = ResourceRequestUtil.make({"CPU": 1.0, "GPU": 1.0})
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        gang_resource_requests=[GangResourceRequest(requests=[worker]) for _ in range(trials)],
        cloud_resource_availabilities=unavailable,
    )
    reply = ResourceDemandScheduler().schedule(request)
    assert {launch.instance_type: launch.count for launch in reply.to_launch} == launched


def test_no_file_holds_a_secret() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file():
            assert list(check_secrets_in_text(path.read_text())) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "AWS_ACCESS_KEY_ID: AKIA" + "A" * 16,
        "-----BEGIN RSA PRIVATE KEY-----",
        "postgresql://mlflow:pw@db/x",
        "admin_password = x",
    ],
)
def test_a_secret_in_a_file_is_found(text: str) -> None:
    assert list(check_secrets_in_text(text))


def test_the_readme_makes_the_secrets_and_names_what_is_there() -> None:
    text = (FOLDER / "README.md").read_text()
    for secret, keys in SECRETS.items():
        command = text.partition(f"create secret generic {secret} ")[2].partition("\n\n")[0]
        assert set(re.findall(r"(?:--from-file=|\s)(\w{2,})=", command.partition("create secret")[0])) == keys
    for name in re.findall(r"`((?:base|overlays)/[\w/.-]+)`", text):
        assert (FOLDER / name).exists(), name
    assert pin("ray") in text and f"fedray-mlflow:{pin('mlflow')}" in text


def test_the_secrets_are_named_as_the_servers_own_deployment_names_them() -> None:
    example = ROOT / "mlflow" / ".env.example"
    if not example.exists():
        pytest.skip("mlflow/.env.example is not there")
    assert set(re.findall(r"^#?\s*(\w+)=", example.read_text(), re.MULTILINE)) >= SECRETS["mlflow-server"]
