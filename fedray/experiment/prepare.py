"""What all machines of a cluster must have in common before the first round: one extractor, trained once."""

from typing import Any

import ray

from fedray.config import ExperimentConfig
from fedray.evaluation import Evaluator
from fedray.federation import local_store

Prepared = list[Any]
"""One reference to the files in Ray's object store; in a list, so that Ray hands it over instead of the files."""

_PREPARE_TIMEOUT_S = 3600.0  # a node may have to be launched, and an extractor trained


def prepare_evaluation(config: ExperimentConfig) -> tuple[Evaluator, Prepared]:
    """Train the extractor and measure the real tiles, unless that was done before.

    It happens here, or on a node that takes work where this one takes none: a cluster's head drives and does nothing
    else.

    Returns:
        The evaluator, and what :func:`install_evaluation` takes on other nodes.
    """
    if not _takes_work():
        needs = {"num_cpus": config.resources.cpus_per_worker}
        files = ray.get(ray.remote(**needs)(_prepare).remote(config), timeout=_PREPARE_TIMEOUT_S)
        Evaluator.install(files)
    evaluator, files = Evaluator.prepare_portable(local_store(config.data), config.evaluation)
    return evaluator, [ray.put(dict(files))]


def install_evaluation(prepared: Prepared) -> None:
    """Make an evaluation that was prepared on another node this one's."""
    Evaluator.install(ray.get(prepared[0]))


def _prepare(config: ExperimentConfig) -> dict[str, bytes]:
    return dict(Evaluator.prepare_portable(local_store(config.data), config.evaluation)[1])


def _takes_work() -> bool:
    """Say whether Ray may run work on this process's node."""
    here = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == here and node["Resources"].get("CPU", 0.0) > 0 for node in ray.nodes())
