"""A sweep on the fake cluster: a trial is a node's whole work, and a node is taken away in its middle."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from fedray.config import nest
from fedray.data import Tile, write_store
from tests.support.fake_nodes import FakeCluster, wait_for_workers
from tests.support.loopback import wait_until
from tests.support.real_ray import REPOSITORY

_START = {"gan.generator_lr": 1e-3, "gan.discriminator_lr": 1e-3}


@dataclass(frozen=True)
class Trials:
    """What MLflow says of the trials after the sweep."""

    runs: list[Run]
    rounds: list[list[int]]
    """Of each run, the steps of its score, sorted, without repetition."""

    def spans(self, since: float) -> list[tuple[float, float]]:
        """Return when each run started and ended, in seconds since a ``time.time()``."""
        return [(run.info.start_time / 1000 - since, run.info.end_time / 1000 - since) for run in self.runs]


def write_space(folder: Path, num_trials: int, num_rounds: int) -> Path:
    """Write a search space of trials of one worker each, at most four, and its data."""
    random = np.random.default_rng(0)
    tiles = (
        Tile(
            random.integers(0, 128, (16, 16, 3), dtype=np.uint8) + np.uint8(127 * (index % 2)),
            label=index % 2, domain=0, group=f"g{index}", split="test" if index % 4 >= 2 else "train", source="noise",
        )
        for index in range(40)
    )  # fmt: skip
    store = write_store(folder / "tiles", tiles, label_names=["dark", "bright"])
    fixed = {
        "data.store": str(store.path), "gan.latent_dim": 8, "gan.generator_channels": 8,
        "gan.discriminator_channels": 8, "gan.batch_size": 8, "federation.num_clients": 2,
        "federation.num_rounds": num_rounds, "federation.local_epochs": 4, "evaluation.num_samples": 16,
        "resources.device": "cpu", "resources.num_workers": 1,
    }  # fmt: skip
    space = {
        "name": "autoscaled",
        "fixed": nest(fixed),
        "search": {
            "gan.n_critic": {"type": "int", "low": 1, "high": 4},
            "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "gan.discriminator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        },
        "goal": {"metric": "fid/efficientnet-lite0/16"},
        "num_trials": num_trials,
        "max_concurrent": num_trials,
        "max_failures": 5,
        "early_stopping": {"grace_rounds": num_rounds},
        "start_points": [_START | {"gan.n_critic": n_critic} for n_critic in range(1, num_trials + 1)],
    }
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(space))
    return path


def run_sweep_and_take_a_node(
    cluster: FakeCluster, space: Path, num_trials: int, out: str, tracking_uri: str, variables: dict[str, str]
) -> None:
    """Submit the sweep, take away a node while all trials run, and wait until the cluster is its head again."""
    variables = variables | {"MLFLOW_TRACKING_URI": tracking_uri, "PYTHONPATH": str(REPOSITORY)}
    environment = json.dumps({"env_vars": variables})
    # No --working-dir: fake nodes share one disk, and each unpacks the folder anew under those that work in it.
    cluster.ray.command(
        "job", "submit", "--no-wait", "--submission-id", "sweep", "--runtime-env-json", environment,
        "--", "python", str(REPOSITORY / "jobs" / "sweep_wgan.py"), "--space", str(space), "--out", out,
    )  # fmt: skip
    job = cluster.ray.job("sweep")
    try:
        wait_for_workers(cluster, num_trials, 240.0)
        wait_until(
            lambda: len(cluster.trial_nodes()) == num_trials and _all_are_under_way(tracking_uri, num_trials),
            "all trials",
        )
    except TimeoutError as error:
        raise TimeoutError(f"{error}:\n{job.logs()}") from None
    cluster.kill_node(min(cluster.trial_nodes()))
    assert job.wait_for_end() == "SUCCEEDED", job.logs()
    wait_for_workers(cluster, 0, 240.0)


def trials_of(tracking_uri: str) -> Trials:
    """Read the trials' runs."""
    client = MlflowClient(tracking_uri)
    runs = [run for run in _runs(client) if "mlflow.parentRunId" in run.data.tags]
    histories = [client.get_metric_history(run.info.run_id, "fid/efficientnet-lite0/16") for run in runs]
    return Trials(runs, [sorted({metric.step for metric in history}) for history in histories])


def _all_are_under_way(tracking_uri: str, num_trials: int) -> bool:
    """Say whether every trial has a round behind it, and none is over."""
    trials = trials_of(tracking_uri)
    return len(trials.runs) == num_trials and all(len(rounds) >= 2 for rounds in trials.rounds)


def _runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("fedray")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))
