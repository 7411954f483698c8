"""Whether the other machines of a cluster see the files of this one that an experiment names."""

import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedray.cluster.size import ClusterSize, ResourceError
from fedray.config import ExperimentConfig
from fedray.data import DATASETS
from fedray.storage import is_uri

_TIMEOUT_S = 120.0  # a process starts on each machine, and a mount may sleep
_NUM_NAMED = 3
_REMEDIES = {
    "data.store": "copy the store by jobs/prepare_data.py --upload s3://BUCKET/PATH and name that address",
    "--out": "name an address on shared storage (--out s3://BUCKET/PATH, or FEDRAY_RESULTS)",
}


def check_reach(config: ExperimentConfig, cluster: ClusterSize, folder: Path | None = None) -> None:
    """Refuse files and folders of this machine that the cluster's other machines do not see.

    Folders that all mount are fine, so each machine that takes work is asked. Of machines that are yet to come nobody
    can know: that is told on standard error.

    Args:
        config: Of the experiment, with absolute paths.
        cluster: What :func:`connect` found.
        folder: For results that workers write to as well, as a sweep's trials do; None: only this process does.

    Raises:
        ResourceError: The message names path, machines and remedy.
    """
    nodes = _other_machines()
    if not nodes and not cluster.num_down:
        return
    with _paths_in(config, folder) as paths:
        if not paths:
            return
        lacking: dict[str, list[str]] = {}
        for address, missing in _ask(nodes, paths).items():
            for name in missing:
                lacking.setdefault(name, []).append(address)
        if lacking:
            raise ResourceError("; ".join(_refusal(name, paths[name], on) for name, on in lacking.items()))
        if cluster.num_down:
            told = ", ".join(f"{name} {path}" for name, path in paths.items())
            print(
                f"note: {told}: of this machine, and {cluster.num_down} machine(s) that the autoscaler may launch need "
                "to see the same there",
                file=sys.stderr,
            )


def _other_machines() -> dict[str, str]:
    """Return the node of each other machine that takes work, by address."""
    here = ray.util.get_node_ip_address()
    found = {
        node["NodeManagerAddress"]: node["NodeID"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0.0) > 0
    }
    return {address: node for address, node in found.items() if address != here}


@contextmanager
def _paths_in(config: ExperimentConfig, folder: Path | None) -> Iterator[dict[str, Path]]:
    """Give the paths of this machine that others need; a folder for results stands for a small file in it."""
    # Tiles that a server hands out are opened by no client; a sweep's trials are servers, and run anywhere.
    handed_out_here = config.federation.mode == "fedssg" and folder is None
    beside = {} if handed_out_here else config.family.other_stores
    named = {
        "data.store": None if config.data.store in DATASETS else config.data.store,
        **{f"{config.task}.{field}": path for field, path in beside.items()},
        f"{config.task}.weights": getattr(config.family, "weights", None),
        "evaluation.extractor_weights": config.evaluation.extractor_weights,
    }
    paths = {name: Path(value).expanduser() for name, value in named.items() if value and not is_uri(value)}
    if folder is None:
        yield paths
        return
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    probe = there / f".fedray-probe-{uuid.uuid4().hex}"
    try:
        probe.touch(mode=0o600)
        yield {**paths, "--out": probe}
    finally:
        probe.unlink(missing_ok=True)


def _ask(nodes: Mapping[str, str], paths: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the names of the paths that each machine lacks, by its address."""
    task: Any = ray.remote(num_cpus=0, max_retries=1)(_missing)
    asked = {
        address: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(dict(paths))
        for address, node in nodes.items()
    }
    answers = ray.get(list(asked.values()), timeout=_TIMEOUT_S)
    return dict(zip(asked, answers, strict=True))


def _missing(paths: Mapping[str, Path]) -> list[str]:
    return [name for name, path in paths.items() if not path.exists()]


def _refusal(name: str, path: Path, machines: list[str]) -> str:
    more = f" and {len(machines) - _NUM_NAMED} more" if len(machines) > _NUM_NAMED else ""
    remedy = _REMEDIES.get(name, "put the file on every machine")
    shown = path.parent if name == "--out" else path
    return (
        f"{name} is {shown}, which is on this machine but not on {len(machines)} other(s) of the cluster "
        f"({', '.join(machines[:_NUM_NAMED])}{more}); {remedy}, or mount one folder under this path on all machines"
    )
