"""What this cluster can run: nodes, data, results, tracking and search spaces, each problem with its remedy."""

import platform
import shutil
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import fedray
from fedray.cluster import ClusterSize, ResourceError, cluster_name, connect
from fedray.cluster.listening import look_at_ray
from fedray.cluster.upload import UPLOAD_REMEDY, submitted_folder, to_be_sent, was_sent
from fedray.config import ConfigError, DataConfig, ExperimentConfig
from fedray.data import StoreError, absolute_store, cache_dir, open_store
from fedray.errors import UserError
from fedray.storage import SharedFolder, StorageError, is_uri, why_not_made
from fedray.sweep.plan import plan_sweep
from fedray.sweep.space import load_space
from fedray.tracking import TrackingError, check_tracking, shown

Level = Literal["ok", "note", "problem"]

_NODE_TIMEOUT_S = 180.0  # a process that imports PyTorch starts, and a large store may have to be fetched
_FREE_BYTES = 2 * 2**30  # less memory or cache than this is told
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: What: cluster, a node, data, results, tracking, a search space.
        level: ok; a note to know of; a problem that will stop or spoil a sweep.
        text: What was found.
        remedy: What to do about it.
    """

    about: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class NodeReport:
    """What a node says of itself.

    Attributes:
        host: Its name.
        versions: Of Python, FedRay and PyTorch.
        memory_free: Bytes.
        cache_free: Bytes on the disk of FedRay's cache.
        gpus: Name and free bytes of each GPU that PyTorch sees there.
        fingerprint: Of the tile store as the node sees it.
        problems: What does not work there, by what it is about.
    """

    host: str
    versions: str
    memory_free: int
    cache_free: int
    gpus: tuple[tuple[str, int], ...]
    fingerprint: str
    problems: dict[str, str]


def examine(data: DataConfig, out: str, tracking_uri: str, folder: Path) -> Iterator[Finding]:
    """Look at everything that a sweep needs, and tell of each thing as soon as it is known.

    Args:
        data: The data to use.
        out: Where results will go: a folder or an address.
        tracking_uri: Of MLflow.
        folder: What a job takes along to a cluster; search spaces to plan are in its ``search_spaces/``.
    """
    yield _about_upload(folder)
    try:
        size = connect()
    except (ConnectionError, UserError) as error:
        remedy = "start Ray there (ray up cluster.yaml), or unset RAY_ADDRESS for a local one"
        yield Finding("cluster", "problem", str(error), "" if isinstance(error, UserError) else remedy)
        return
    yield _about_cluster(size)
    yield _about_network()
    reports = _ask_nodes(absolute_store(data), tracking_uri)
    yield from _about_nodes(reports)
    yield _about_data(data, reports)
    yield _about_results(out, len(reports))
    yield _about_tracking(tracking_uri, reports)
    for path in sorted((folder / "search_spaces").glob("*.yaml")):
        yield _about_space(path, data, size)


def _about_upload(folder: Path) -> Finding:
    """Say what `ray job submit --working-dir .` sends from a folder, or what came with the job that this is."""
    sent = submitted_folder()
    package = to_be_sent(folder) if sent is None else was_sent(sent)
    said = "ray job submit --working-dir . would send" if sent is None else "this job came with"
    if refused := package.what_is_refused():
        text = f"{said} {len(package.refused)} file(s) that are no source text: {refused}; in all {package}"
        return Finding("upload", "problem", text, UPLOAD_REMEDY)
    return Finding("upload", "ok", f"{said} {package}; source text only")


def _about_cluster(size: ClusterSize) -> Finding:
    text = f"{cluster_name()}: {size}"
    if size.num_down:
        return Finding("cluster", "note", text, "the autoscaler launches the others when a sweep needs them")
    return Finding("cluster", "ok", text)


def _about_network() -> Finding:
    try:
        found = look_at_ray()
    except ConnectionError as error:
        return Finding("network", "note", f"whether Ray asks for a token was not seen: {error}")
    whom = "this machine" if found.on_this_machine_alone else "whoever reaches it"
    text = f"Ray listens to {whom} at {found.address}"
    if found.answers_strangers:
        remedy = "start it with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (docs/cluster.md, Logins)"
        return Finding("network", "problem", f"{text} and asks for no token: who reaches it runs code as you", remedy)
    return Finding("network", "ok", f"{text} and asks for a token")


def _ask_nodes(data: DataConfig, tracking_uri: str) -> dict[str, NodeReport | str]:
    """Have every node that takes work look at itself. Returns reports, or what went wrong, by the node's address."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0.0) > 0]
    task = ray.remote(num_cpus=0, max_retries=0)(inspect_node)
    asked = {
        node["NodeManagerAddress"] + (f":{node['NodeManagerPort']}" if _same_host(nodes) else ""): task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(data, tracking_uri)
        for node in nodes
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=_NODE_TIMEOUT_S) if asked else None
    return {address: _answer(reference) for address, reference in asked.items()}


def _same_host(nodes: list[dict[str, Any]]) -> bool:
    return len({node["NodeManagerAddress"] for node in nodes}) < len(nodes)


def _answer(reference: Any) -> NodeReport | str:
    try:
        report: NodeReport = ray.get(reference, timeout=0)
        return report
    except ray.exceptions.GetTimeoutError:
        return f"gave no answer within {_NODE_TIMEOUT_S:.0f} s"
    except Exception as error:  # whatever a broken environment raises there
        return " ".join(str(error).split())[-300:]


def inspect_node(data: DataConfig, tracking_uri: str) -> NodeReport:
    """Look at the node that this process is on."""
    problems: dict[str, str] = {}
    fingerprint = ""
    try:
        fingerprint = open_store(data).fingerprint
    except (StoreError, OSError) as error:
        problems["data"] = str(error)
    try:
        check_tracking(tracking_uri)
    except TrackingError as error:
        problems["tracking"] = str(error)
    devices = range(torch.cuda.device_count())
    return NodeReport(
        host=socket.gethostname(),
        versions=_versions(),
        memory_free=_available_memory(),
        cache_free=shutil.disk_usage(cache_dir()).free,
        gpus=tuple((torch.cuda.get_device_name(index), torch.cuda.mem_get_info(index)[0]) for index in devices),
        fingerprint=fingerprint,
        problems=problems,
    )


def _available_memory() -> int:
    """Bytes that can be allocated without swapping."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _versions() -> str:
    return f"Python {platform.python_version()}, FedRay {fedray.__version__}, PyTorch {torch.__version__}"


def _about_nodes(reports: dict[str, NodeReport | str]) -> Iterator[Finding]:
    if not reports:
        yield Finding("nodes", "note", "no node that takes work is up: data and tracking were looked at from here only")
    for address, report in reports.items():
        about = f"node {address}"
        if isinstance(report, str):
            remedy = "see that the same environment (requirements.lock) is on every node"
            yield Finding(about, "problem", report, remedy)
            continue
        gpus = ", ".join(f"{name} with {free / _GIB:.0f} GiB free" for name, free in report.gpus) or "no GPU"
        text = (
            f"{report.host}: {report.memory_free / _GIB:.1f} GiB memory and {report.cache_free / _GIB:.1f} GiB cache "
            f"free, {gpus}; {report.versions}"
        )
        if report.versions != _versions():
            remedy = f"install the same versions everywhere; here: {_versions()}"
            yield Finding(about, "problem", text, remedy)
        elif min(report.memory_free, report.cache_free) < _FREE_BYTES:
            yield Finding(about, "problem", text, "free memory or disk there, or point FEDRAY_CACHE to a larger disk")
        else:
            yield Finding(about, "ok", text)


def _about_data(data: DataConfig, reports: dict[str, NodeReport | str]) -> Finding:
    try:
        store = open_store(data)
    except (StoreError, OSError) as error:
        return Finding("data", "problem", str(error))
    told = {address: report for address, report in reports.items() if isinstance(report, NodeReport)}
    for address, report in told.items():
        if problem := report.problems.get("data"):
            remedy = "put it on shared storage: jobs/prepare_data.py --upload s3://BUCKET/PATH"
            return Finding("data", "problem", f"node {address} cannot open it: {problem}", remedy)
        if report.fingerprint != store.fingerprint:
            text = f"node {address} has another store there: fingerprint {report.fingerprint}, not {store.fingerprint}"
            return Finding("data", "problem", text, "put one store on shared storage and name its address")
    tiles = f"{len(store.indices('train')):,} tiles to train and {len(store.indices('test')):,} to test"
    text = f"{store.name}: {tiles}, {store.tile_size} px, {len(store.label_names)} labels"
    return Finding("data", "ok", f"{text}; the same on {len(told)} node(s)" if told else text)


def _about_results(out: str, num_nodes: int) -> Finding:
    """Say whether results can go there; nothing that lies there is touched."""
    if is_uri(out):
        try:
            _probe(out)
        except (StorageError, OSError) as error:
            return Finding("results", "problem", str(error))
        return Finding("results", "ok", f"{out} can be written")
    text = f"{out} on this machine"
    if problem := why_not_made(Path(out)):
        return Finding(
            "results", "problem", f"{text} cannot be used: {problem}", "name another by --out or FEDRAY_RESULTS"
        )
    if num_nodes > 1:
        remedy = "name an address on shared storage by --out or FEDRAY_RESULTS, or a folder all nodes mount"
        return Finding("results", "note", f"{text}: trials on other nodes need to see it too", remedy)
    return Finding("results", "ok", text)


def _probe(address: str) -> None:
    """Write a small object at an address and delete it; a job that may run there looks at no name that begins so."""
    shared, name = SharedFolder(address), f".fedray-probe-{uuid.uuid4().hex}"
    shared.write(name, b"probe")
    shared.delete([name])


def _about_tracking(uri: str, reports: dict[str, NodeReport | str]) -> Finding:
    try:
        check_tracking(uri)
    except TrackingError as error:
        return Finding("tracking", "problem", str(error))
    if uri.startswith("sqlite") and len(reports) > 1:
        remedy = "start a server (mlflow/README.md), and set MLFLOW_TRACKING_URI"
        return Finding("tracking", "problem", f"{shown(uri)} is a file, which serves one machine", remedy)
    for address, report in reports.items():
        if isinstance(report, NodeReport) and (problem := report.problems.get("tracking")):
            return Finding("tracking", "problem", f"from node {address}: {problem}")
    return Finding("tracking", "ok", f"{shown(uri)} answers")


def _about_space(path: Path, data: DataConfig, size: ClusterSize) -> Finding:
    about = f"space {path.stem}"
    try:
        space = load_space(path)
        fixed: ExperimentConfig = space.fixed.model_copy(update={"data": data})
        plan = plan_sweep(space.model_copy(update={"fixed": fixed}), size)
    except (ConfigError, ResourceError) as error:
        return Finding(about, "problem", str(error))
    text = f"{plan.concurrent_trials} of {space.num_trials} trials at a time, {plan.workers_text}"
    wanted = min(space.num_trials, space.max_concurrent)
    if plan.concurrent_trials < wanted:
        return Finding(about, "note", text, f"the space allows {wanted} at a time; the cluster is what limits it")
    return Finding(about, "ok", text)
