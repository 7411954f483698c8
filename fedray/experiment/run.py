"""run_experiment(config) -> Result: data, federation, evaluation and tracking composed into one run."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from fedray.config import ExperimentConfig, load_config
from fedray.data import TileStore, absolute_store
from fedray.evaluation import Scores, score_names
from fedray.experiment.cluster import cluster_name, connect, plan_workers
from fedray.experiment.evaluate import Evaluation
from fedray.experiment.folder import EXPERIMENT, check_folder, check_resumable, is_started, open_folder
from fedray.experiment.place import Place
from fedray.experiment.prepare import Prepared, install_evaluation, prepare_evaluation
from fedray.experiment.reach import check_reach
from fedray.experiment.report import save_samples
from fedray.experiment.rounds import ExperimentRun, RoundResult, generator_arrays
from fedray.experiment.tracked import ended, log_generator, log_round, open_run
from fedray.federation import client_app, client_partition, fresh_gan, local_store, shared_arrays
from fedray.simulation import RayGrid, WorkerPool, WorkerResources
from fedray.tracking import TrackedRun, Tracker, check_tracking

if TYPE_CHECKING:  # imported where it is run: every trial imports this module, and Ray Train costs it most of a second
    from fedray.experiment.centralised import CentralisedRun

OnRound = Callable[[RoundResult], None]


@dataclass(frozen=True)
class Result:
    """What a finished experiment leaves."""

    config: ExperimentConfig
    scores: Scores
    """Of the last round."""
    floor: Scores
    """What real training tiles score in the generator's place."""
    history: pd.DataFrame
    """A row a round."""
    run_id: str
    """Of the MLflow run."""
    out: Path
    """Folder with ``config.yaml``, ``results.parquet``, ``samples.png`` and ``checkpoint/``."""


def run_experiment(
    config: ExperimentConfig,
    *,
    out: str | Path | Place,
    tracking_uri: str,
    on_round: OnRound = lambda result: None,
    pool: WorkerPool | None = None,
) -> Result:
    """Run one experiment, or continue the one whose checkpoint is in ``out``.

    Everything that can be wrong is checked before anything is written.

    Args:
        config: What to run.
        out: Place for the results: a folder, or an ``s3://`` or ``gs://`` address.
        tracking_uri: Of MLflow.
        on_round: Told after every round.
        pool: Workers to run on, which stay for the next experiment (see :func:`start_workers`); unset: own ones,
            started and ended here. A centralised experiment has Ray Train's own.

    Raises:
        ValueError: The data, the partition or the resources are impossible; the message says how.
        TrackingError: The tracking server does not answer.
        DivergedError: A loss exploded. The rounds before it are tracked, and the run ends as FAILED.
        FederationError: Too many clients failed.
    """
    config = config.model_copy(update={"data": absolute_store(config.data)}).resolved()
    out = Place.at(out)
    store = check_experiment(config, out)
    cluster = connect()
    check_reach(config, cluster)
    resources = plan_workers(config, cluster) if pool is None else pool.resources
    check_tracking(tracking_uri)
    evaluator, prepared = prepare_evaluation(config)
    centralised = config.federation.mode == "centralised"
    key = open_folder(out, EXPERIMENT, config)
    tracker = Tracker(tracking_uri, config.tracking.experiment)
    with ExitStack() as stack:
        if centralised:
            run: ExperimentRun | CentralisedRun = _centralised(stack, config, resources, prepared)
        else:
            run = _federated(config, pool or stack.enter_context(start_workers(config, resources, prepared)))
        run.load(out.folder / "checkpoint")
        tracked = open_run(tracker, config, store, key=key, tags={"fedray.cluster": cluster_name()})
        with ended(tracked):
            evaluation = _run_rounds(run, out, tracked, on_round)
            title = f"{config.gan.objective}, round {run.state.round_index}"
            save_samples(out.folder / "samples.png", store, evaluation.preview, title)
            tracked.log_artifact(out.folder / "samples.png")
            if arrays := generator_arrays(shared_arrays(run.state)):
                log_generator(tracked, config, arrays)
            out.push()
    history = pd.read_parquet(out.folder / "results.parquet")
    return Result(config, evaluation.scores, evaluator.floor, history, tracked.run_id, out.folder)


def check_experiment(config: ExperimentConfig, out: Place) -> TileStore:
    """Refuse an experiment whose folder, data or partition is impossible; starts nothing. Returns the data.

    Raises:
        ValueError: The message names the value, the rule and the remedy.
    """
    saved = saved_config(out).resolved() if is_started(out, EXPERIMENT) else None
    check_folder(out, EXPERIMENT, config.resolved(), saved)
    store = local_store(config.data)
    client_partition(config)
    fresh_gan(config, "cpu")  # networks that cannot be built and weights that are missing are refused
    score_names(config.evaluation, store)  # too few tiles to compare with are refused
    return store


EVALUATION_TIMEOUT_S = 1800.0
"""Longest that scoring one generator may take, in seconds."""


def start_workers(config: ExperimentConfig, resources: WorkerResources, prepared: Prepared) -> WorkerPool:
    """Start the worker processes of an experiment.

    Args:
        config: Of the experiment.
        resources: How many, and what each takes.
        prepared: The evaluation (see :func:`prepare_evaluation`).
    """
    setup = partial(prepare_worker, max(1, int(resources.cpus_per_worker)), prepared)
    return WorkerPool(resources, start_timeout_s=config.resources.start_timeout_s, setup=setup)


def prepare_worker(num_threads: int, prepared: Prepared) -> None:
    """Give a worker process its share of the cores (PyTorch takes all of them unless it is told), and the extractor."""
    torch.set_num_threads(num_threads)
    install_evaluation(prepared)


def make_grid(config: ExperimentConfig, pool: WorkerPool) -> RayGrid:
    """Put the experiment's clients on a pool of workers."""
    return RayGrid(client_app, config.num_clients, pool)


def saved_config(out: Place) -> ExperimentConfig:
    """Read the configuration of the experiment that was started in a folder.

    Raises:
        ConfigError: There is none.
    """
    check_resumable(out, EXPERIMENT)
    return load_config(out.folder / EXPERIMENT.config)


def _federated(config: ExperimentConfig, pool: WorkerPool) -> ExperimentRun:
    return ExperimentRun(config, make_grid(config, pool), partial(pool.run, timeout_s=EVALUATION_TIMEOUT_S))


def _centralised(
    stack: ExitStack, config: ExperimentConfig, resources: WorkerResources, prepared: Prepared
) -> "CentralisedRun":
    from fedray.experiment.centralised import CentralisedRun

    run = CentralisedRun(config, resources, prepared)
    stack.callback(run.close)
    return run


def _run_rounds(
    run: "ExperimentRun | CentralisedRun", out: Place, tracked: TrackedRun, on_round: OnRound
) -> Evaluation:
    """Run the rounds that are left; keep history and checkpoints in the place. Returns the last evaluation."""
    path = out.folder / "results.parquet"
    rows: list[dict[Any, Any]] = pd.read_parquet(path).to_dict("records") if path.exists() else []
    rows = [row for row in rows if row["round"] <= run.state.round_index]  # later ones were lost with their state
    evaluation = None
    while not run.done:
        result = run.step()
        evaluation = result.evaluation
        rows.append({"round": result.report.round_index, **result.metrics})
        pd.DataFrame(rows).to_parquet(path)
        log_round(tracked, result)
        if run.done or run.state.round_index % run.config.federation.checkpoint_every == 0:
            tracked.flush()  # first: a killed run goes on after its checkpoint and does not log those rounds again
            run.save(out.folder / "checkpoint")
            out.push()
        on_round(result)
    return evaluation or run.evaluate()
