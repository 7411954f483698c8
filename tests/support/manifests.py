"""What must hold of the manifests: each check yields one line for each thing that is wrong."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kubernetes"
KUBERNETES_VERSIONS = ("1.29", "1.34")  # the oldest that README.md names, and a new one
SECRETS = {
    "fedray-ray-token": {"auth_token"},
    "fedray-signing": {"FEDRAY_SIGNING_KEY"},
    "fedray-mlflow-client": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
    "fedray-storage": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "mlflow-server": {"POSTGRES_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"},
}
"""Made by a person with the commands in kubernetes/README.md."""

Manifest = dict[str, Any]
Check = Callable[[list[Manifest]], Iterator[str]]


def parse(text: str) -> list[Manifest]:
    """Read manifests; through JSON, so that no two share a part by a YAML anchor."""
    return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(text) if document]


def pin(package: str) -> str:
    """Say which version requirements.lock pins."""
    found = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found, package
    return found[1]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """List all pod templates, wherever they are embedded."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        name = named(manifest)
        if manifest["kind"] == "RayCluster":
            yield f"{name} head", spec["headGroupSpec"]["template"]
            for group in spec["workerGroupSpecs"]:
                yield f"{name} {group['groupName']}", group["template"]
        elif manifest["kind"] == "RayJob":
            yield name, spec["submitterPodTemplate"]
        elif "template" in spec:
            yield name, spec["template"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """List all containers, and the autoscaler's options, which KubeRay makes one of."""
    for name, pod in pods(manifests):
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            yield f"{name} ({container['name']})", container
    for cluster in of_kind(manifests, "RayCluster"):
        yield f"{named(cluster)} (autoscaler)", cluster["spec"]["autoscalerOptions"]


@cache
def _kuberay(kind: str, version: str) -> jsonschema.Draft202012Validator:
    schema = yaml.safe_load((Path(__file__).parent / "kuberay.schema.yaml").read_text())
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    kubernetes = Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    registry = (kubernetes @ Registry()).with_resources(
        [("https://ray.io/v1/kubernetes", kubernetes), (schema["$id"], Resource.from_contents(schema))]
    )
    return jsonschema.Draft202012Validator({"$ref": f"{schema['$id']}#/$defs/{kind}"}, registry=registry)


def check_schemas(manifests: list[Manifest]) -> Iterator[str]:
    """Every field is one that Kubernetes or KubeRay knows, with a value of its type."""
    for manifest in manifests:
        for version in KUBERNETES_VERSIONS:
            if error := _schema_error(json.dumps(manifest), version):
                yield f"{named(manifest)} (Kubernetes {version}): {error}"


@cache  # most manifests of most tests are the same ones
def _schema_error(text: str, version: str) -> str:
    manifest = json.loads(text)
    try:
        if manifest["apiVersion"] == "ray.io/v1":
            _kuberay(manifest["kind"], version).validate(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)
    except jsonschema.ValidationError as error:
        return f"{error.json_path}: {error.message}"
    return ""


def check_ray_version(manifests: list[Manifest]) -> Iterator[str]:
    """The cluster says the version that the lock pins."""
    for cluster in of_kind(manifests, "RayCluster"):
        if (version := cluster["spec"].get("rayVersion")) != pin("ray"):
            yield f"rayVersion is {version}, but the lock has {pin('ray')}"


def check_node_types(manifests: list[Manifest]) -> Iterator[str]:
    """FedRay's cluster file says what Ray's own autoscaler reads out of the RayCluster."""
    declared = yaml.safe_load(_config_map(manifests, "fedray-cluster")["cluster.yaml"])
    for cluster in of_kind(manifests, "RayCluster"):
        read = autoscaling_config(cluster)
        for key in ("cluster_name", "head_node_type", "max_workers"):
            if declared[key] != read[key]:
                yield f"{key} is {declared[key]} in cluster.yaml, but {read[key]} in the RayCluster"
        here, there = declared["available_node_types"], read["available_node_types"]
        for name in {**here, **there}:
            if (told := _shape(here.get(name))) != (real := _shape(there.get(name))):
                yield f"{name} is {told} in cluster.yaml, but {real} in the RayCluster"


def autoscaling_config(cluster: Manifest) -> Manifest:
    """Read a RayCluster as Ray's autoscaler does."""
    metadata = {"namespace": "default", **cluster["metadata"]}
    config: Manifest = _derive_autoscaling_config_from_ray_cr({**cluster, "metadata": metadata})
    return config


def _shape(node_type: Manifest | None) -> Manifest | None:
    if node_type is None:
        return None
    resources = {name: amount for name, amount in node_type["resources"].items() if name in ("CPU", "GPU")}
    return {"resources": resources, "from": node_type["min_workers"], "to": node_type["max_workers"]}


def _config_map(manifests: list[Manifest], name: str) -> dict[str, str]:
    return next(each["data"] for each in of_kind(manifests, "ConfigMap") if each["metadata"]["name"] == name)


def check_scaling(manifests: list[Manifest]) -> Iterator[str]:
    """GPU nodes come and go by themselves, to a limit; the head takes no work."""
    for cluster in of_kind(manifests, "RayCluster"):
        spec = cluster["spec"]
        options = spec["autoscalerOptions"]
        if not spec.get("enableInTreeAutoscaling") or options.get("version") != "v2":
            yield "the autoscaler must be on, in version v2"
        if "idleTimeoutSeconds" not in options:
            yield "idle nodes must be given back after a time that is said"
        if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
            yield "the head must take no work: num-cpus 0"
        groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
        if list(groups) != ["gpu-spot", "gpu-on-demand"]:
            yield f"the groups must be gpu-spot, then gpu-on-demand, but are {list(groups)}"
        for name, group in groups.items():
            if group["minReplicas"] != 0 or group.get("replicas"):
                yield f"{name} must begin with no node: an idle cluster must cost no GPU"
            if group["maxReplicas"] > 100:
                yield f"{name} has no limit worth the name: {group['maxReplicas']}"
            tolerated = {each.get("key") for each in group["template"]["spec"].get("tolerations", [])}
            wanted = {"nvidia.com/gpu"} | ({"cloud.google.com/gke-spot"} if name == "gpu-spot" else set())
            if missing := wanted - tolerated:
                yield f"{name} does not tolerate {sorted(missing)}"
        if not of_kind(manifests, "ResourceQuota"):
            continue
        quota = of_kind(manifests, "ResourceQuota")[0]["spec"]["hard"]["requests.nvidia.com/gpu"]
        if int(quota) != (most := sum(group["maxReplicas"] for group in groups.values())):
            yield f"the quota is {quota} GPUs, but the groups may take {most}"


def check_resources(manifests: list[Manifest]) -> Iterator[str]:
    """Requests equal limits, for processor and memory; a GPU worker has a GPU."""
    for name, container in containers(manifests):
        requests, limits = (container.get("resources", {}).get(key, {}) for key in ("requests", "limits"))
        if requests != limits or not {"cpu", "memory"} <= set(limits):
            yield f"{name}: requests {requests} must equal limits {limits}"
        if "gpu-" in name and int(limits.get("nvidia.com/gpu", 0)) < 1:
            yield f"{name}: no nvidia.com/gpu"


def check_secrets(manifests: list[Manifest]) -> Iterator[str]:
    """Secrets are referred to, never written."""
    for secret in of_kind(manifests, "Secret"):
        yield f"{named(secret)} is in a file"
    for name, container in containers(manifests):
        for variable in container.get("env", []):
            if _is_secret(variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
                yield f"{name}: {variable['name']} must come from a secret"
    for each in of_kind(manifests, "ConfigMap"):
        yield from (f"{named(each)} holds {key}" for key in each["data"] if _is_secret(key))
    yield from check_secrets_in_text(json.dumps(manifests))


def _is_secret(name: str) -> bool:
    return bool(re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|CREDENTIAL|USERNAME", name))


def check_secrets_in_text(text: str) -> Iterator[str]:
    """No key, no private key, and no address with a password."""
    for pattern in (r"AKIA[0-9A-Z]{16}", r"PRIVATE KEY", r"://[^/\s:@\"']+:[^/\s@\"']+@", r"admin_password\s*="):
        yield from (f"looks like a secret: {found[:12]}..." for found in re.findall(pattern, text))


def check_exposure(manifests: list[Manifest]) -> Iterator[str]:
    """Nothing is reached from outside the cluster."""
    yield from (f"{named(each)} opens the cluster" for each in of_kind(manifests, "Ingress", "Gateway", "HTTPRoute"))
    for service in of_kind(manifests, "Service"):
        if (kind := service["spec"].get("type", "ClusterIP")) != "ClusterIP" or "externalIPs" in service["spec"]:
            yield f"{named(service)} is of type {kind}"
    for cluster in of_kind(manifests, "RayCluster"):
        head = cluster["spec"]["headGroupSpec"]
        if head.get("serviceType") != "ClusterIP" or head.get("enableIngress"):
            yield f"{named(cluster)}: its head's service must be ClusterIP, without Ingress"
    for name, pod in pods(manifests):
        if pod["spec"].get("hostNetwork") or "hostPort" in json.dumps(pod["spec"]):
            yield f"{name} uses the node's network"


def check_rights(manifests: list[Manifest]) -> Iterator[str]:
    """Every pod is one that Kubernetes' restricted profile admits, and only the autoscaler speaks to its API."""
    for name, pod in pods(manifests):
        spec = pod["spec"]
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} holds a token for Kubernetes' API"
        tokens = {volume["name"] for volume in spec.get("volumes", []) if "serviceAccountToken" in json.dumps(volume)}
        for container in spec["containers"]:
            if tokens & {mount["name"] for mount in container.get("volumeMounts", [])}:
                yield f"{name} ({container['name']}) holds the autoscaler's token"
        if spec.get("enableServiceLinks") is not False:
            yield f"{name} takes variables from services, and MLFLOW_PORT among them"
        if any(set(volume) & {"hostPath"} for volume in spec.get("volumes", [])):
            yield f"{name} mounts a folder of the node"
        if spec.get("terminationGracePeriodSeconds", 0) < 10:
            yield f"{name} has no time to end"
    for name, container in containers(manifests):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{name} may gain privileges"
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{name} keeps capabilities"


def check_network(manifests: list[Manifest]) -> Iterator[str]:
    """Nothing comes in or goes out of any pod but what a policy names, and Ray asks who comes for a token."""
    policies = of_kind(manifests, "NetworkPolicy")
    nothing = [each["spec"] for each in policies if each["spec"]["podSelector"] == {} and "ingress" not in each["spec"]]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in nothing:
        yield "there is no policy by which nothing comes in or goes out"
    for name, pod in pods(manifests):
        labels = pod["metadata"]["labels"].items()
        guards = [each["spec"] for each in policies if each["spec"]["podSelector"].get("matchLabels")]
        guards = [each for each in guards if each["podSelector"]["matchLabels"].items() <= labels]
        if not any("Ingress" in each["policyTypes"] for each in guards) and not name.startswith("RayJob"):
            yield f"{name} is behind no policy"
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            peers = rule.get("from", [])
            if not peers or not all(_is_named(peer) for peer in peers):
                yield f"{named(policy)} lets anybody in"
            own = {"podSelector": policy["spec"]["podSelector"]}
            if peers != [own] and not rule.get("ports"):
                yield f"{named(policy)} opens all ports to {peers}"
        for rule in policy["spec"].get("egress", []):
            own = {"podSelector": policy["spec"]["podSelector"]}
            if rule.get("to") != [own] and not (rule.get("to") and rule.get("ports")):
                yield f"{named(policy)} lets all out"
            for peer in rule.get("to", []):
                if "169.254.0.0/16" not in peer.get("ipBlock", {"except": ["169.254.0.0/16"]}).get("except", []):
                    yield f"{named(policy)} lets pods ask for the node's role"
    for cluster in of_kind(manifests, "RayCluster"):
        told = cluster["spec"].get("authOptions", {})
        if told.get("mode") != "token" or told.get("secretName") not in SECRETS:
            yield f"{named(cluster)} asks for no token of {sorted(SECRETS)}"


def _is_named(peer: Manifest) -> bool:
    """Say whether a peer is some pods of the policy's own namespace, or of one that is named."""
    return bool(peer.get("podSelector", {}).get("matchLabels")) and all(
        "kubernetes.io/metadata.name" in peer[key].get("matchLabels", {}) for key in peer if key == "namespaceSelector"
    )


def check_images(manifests: list[Manifest]) -> Iterator[str]:
    """Every image is one: of others by version and digest; our own get their digest where they are built."""
    ours = {"fedray", "fedray-mlflow"}
    for name, pod in pods(manifests):
        for container in pod["spec"]["containers"]:
            place, _, digest = container["image"].partition("@")
            tag = place.rpartition("/")[2].partition(":")[2]
            if tag == "latest" or not (tag or digest):
                yield f"{name}: {container['image']} has no version"
            elif not digest and place.partition(":")[0] not in ours:
                yield f"{name}: {container['image']} has no digest"


def check_references(manifests: list[Manifest]) -> Iterator[str]:
    """What a pod refers to is there, or is a secret that a person makes."""
    config_maps = {each["metadata"]["name"] for each in of_kind(manifests, "ConfigMap")}
    accounts = {each["metadata"]["name"] for each in of_kind(manifests, "ServiceAccount")}
    for name, pod in pods(manifests):
        spec = pod["spec"]
        for volume in spec.get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in config_maps:
                yield f"{name}: no ConfigMap {volume['configMap']['name']}"
        if spec.get("serviceAccountName", "default") not in {*accounts, "default"}:
            yield f"{name}: no ServiceAccount {spec['serviceAccountName']}"
    for name, container in containers(manifests):
        for source in container.get("envFrom", []):
            if source["configMapRef"]["name"] not in config_maps:
                yield f"{name}: no ConfigMap {source['configMapRef']['name']}"
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["key"] not in SECRETS.get(reference["name"], ()):
                yield f"{name}: no key {reference['key']} in a secret {reference['name']}"
        mounted = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
        for variable in container.get("env", []):
            path = str(variable.get("value", ""))
            if path.startswith("/") and not any(path.startswith(f"{folder}/") for folder in mounted):
                yield f"{name}: {variable['name']} names {path}, which is not mounted"


def check_environment(manifests: list[Manifest]) -> Iterator[str]:
    """Ray's pods know where the results go, where runs are tracked, and, in the head, what the cluster may become."""
    settings = _config_map(manifests, "fedray-settings")
    if not settings.get("FEDRAY_RESULTS", "").startswith(("s3://", "gs://")):
        yield "FEDRAY_RESULTS must be an address that all pods reach, s3:// or gs://"
    for name, pod in pods(of_kind(manifests, "RayCluster")):
        container = pod["spec"]["containers"][0]
        if {"configMapRef": {"name": "fedray-settings"}} not in container.get("envFrom", []):
            yield f"{name} does not have the settings"
        if settings.get("FEDRAY_CACHE") not in {mount["mountPath"] for mount in container["volumeMounts"]}:
            yield f"{name} does not mount the cache"
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        wanted = SECRETS["fedray-mlflow-client"] | (
            {"FEDRAY_CLUSTER_CONFIG", "RAY_JOB_STOP_WAIT_TIME_S", "FEDRAY_SIGNING_KEY"}
            if name.endswith(" head")
            else set()
        )
        if missing := wanted - set(variables):
            yield f"{name} lacks {sorted(missing)}"
    hosts = _config_map(manifests, "mlflow-settings")["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    if (host := settings["MLFLOW_TRACKING_URI"].removeprefix("http://")) not in hosts:
        yield f"MLflow would answer 403 to {host}"


def check_job(manifests: list[Manifest]) -> Iterator[str]:
    """The sweep goes to the cluster, with a command that the image has."""
    clusters = {
        (each["metadata"]["name"], each["metadata"].get("namespace")) for each in of_kind(manifests, "RayCluster")
    }
    for job in of_kind(manifests, "RayJob"):
        target = job["spec"].get("clusterSelector", {}).get("ray.io/cluster"), job["metadata"].get("namespace")
        if target not in clusters:
            yield f"{named(job)} goes to {target}, but there is {clusters}"
        program, script, *options = shlex.split(job["spec"]["entrypoint"])
        if program != "python" or not (ROOT / script).is_file():
            yield f"{named(job)} starts {program} {script}"
        if "--out" not in options or not options[options.index("--out") + 1].startswith(("s3://", "gs://")):
            yield f"{named(job)} names no shared place for its results, so it could not be continued"
    for name, pod in pods(of_kind(manifests, "RayJob")):
        for container in pod["spec"]["containers"]:
            if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= {variable["name"] for variable in container.get("env", [])}:
                yield f"{name} submits without Ray's token"
    submitters = [pod["metadata"]["labels"].items() for _, pod in pods(of_kind(manifests, "RayJob"))]
    admitted = [
        peer["podSelector"]["matchLabels"].items()
        for policy in of_kind(manifests, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for peer in rule.get("from", [])
    ]
    if not all(any(peer <= labels for peer in admitted) for labels in submitters):
        yield "no policy admits the pod that submits the job"


CHECKS: dict[str, Check] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_schemas, check_ray_version, check_node_types, check_scaling, check_resources, check_secrets,
        check_exposure, check_rights, check_network, check_images, check_references, check_environment, check_job,
    )
}  # fmt: skip
