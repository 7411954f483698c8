"""What all machines of a cluster must have in common before the first round: one extractor, trained once."""

import socket
from pathlib import Path
from typing import Any

import ray

from fedray.config import DataConfig, ExperimentConfig
from fedray.data import StoreError, local_store
from fedray.evaluation import Evaluator
from fedray.experiment.judging import Judge, judging_of
from fedray.results.files import EVALUATION
from fedray.storage import write_whole

Prepared = list[Any]
"""One reference to the files in Ray's object store, and the store's fingerprint; in a list, so that Ray hands the
reference over instead of the files."""

_PREPARE_TIMEOUT_S = 3600.0  # a node may have to be launched, and an extractor trained


def prepare_judge(config: ExperimentConfig, folder: Path | None = None) -> tuple[Judge, Prepared]:
    """Get what judges an experiment: train an extractor and measure real tiles, unless that was done before.

    It happens here, or on a node that takes work where this one takes none: a cluster's head drives and does nothing
    else.

    Args:
        config: Of the experiment.
        folder: Of the results: what :func:`keep_evaluation` put there is taken, not made anew.

    Returns:
        What judges, and what :func:`install_evaluation` takes on other nodes.
    """
    if folder is not None:
        kept = (folder / EVALUATION).rglob("*.safetensors")
        Evaluator.install({path.relative_to(folder).as_posix(): path.read_bytes() for path in kept})
    if not _takes_work():
        needs = {"num_cpus": config.resources.cpus_per_worker}
        files = ray.get(ray.remote(**needs)(_prepare).remote(config), timeout=_PREPARE_TIMEOUT_S)
        Evaluator.install(files)
    store = local_store(config.data)
    judge, files = judging_of(config).prepare(config)
    return judge, [ray.put(dict(files)), store.fingerprint]


def install_evaluation(prepared: Prepared, data: DataConfig) -> None:
    """Make an evaluation that was prepared on another node this one's.

    Raises:
        StoreError: This node has other tiles.
    """
    check_tiles(prepared, data)
    Evaluator.install(ray.get(prepared[0]))


def check_tiles(prepared: Prepared, data: DataConfig) -> None:
    """Refuse a store that is not the one which the run was prepared with: of another node, or built again since.

    Raises:
        StoreError: With both fingerprints, the node and the remedy.
    """
    fingerprint, expected = local_store(data).fingerprint, prepared[1]
    if fingerprint != expected:
        raise StoreError(
            f"the tile store {data.store} on {socket.gethostname()} has the fingerprint {fingerprint}, but the run was "
            f"started on {expected}: all machines must train on the same tiles, and a store must stay as it is while "
            "it is used; put one store on shared storage (jobs/prepare_data.py --upload), and start again"
        )


def keep_evaluation(prepared: Prepared, folder: Path) -> None:
    """Write what was prepared beside the results, unless it is there already, and whole."""
    for name, content in ray.get(prepared[0]).items():
        path = folder / name
        assert path.is_relative_to(folder / EVALUATION), "an evaluator's files are in a folder of their own"
        if not path.exists() or path.read_bytes() != content:  # damaged, and built again
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)


def _prepare(config: ExperimentConfig) -> dict[str, bytes]:
    return dict(judging_of(config).prepare(config)[1])


def _takes_work() -> bool:
    """Say whether Ray may run work on this process's node."""
    here = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == here and node["Resources"].get("CPU", 0.0) > 0 for node in ray.nodes())
