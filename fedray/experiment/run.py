"""run_experiment(config) -> Result: data, federation, evaluation and tracking composed into one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import pandas as pd

from fedray.cluster.reach import check_reach
from fedray.cluster.size import cluster_name, connect, plan_workers
from fedray.config import ConfigError, ExperimentConfig, load_config, override
from fedray.data import TileStore, absolute_store, local_store, store_shape, training_sizes
from fedray.evaluation import Scores
from fedray.experiment.engines import Run, open_experiment
from fedray.experiment.judging import Evaluation, Judge, judging_of
from fedray.experiment.prepare import keep_evaluation, prepare_judge
from fedray.experiment.self_tested import blind_tags, keep_self_test, quality_line, quality_tags
from fedray.experiment.settled import settled
from fedray.experiment.starting import check_start, start_tags
from fedray.experiment.telling import ALONE, OnRound, Telling
from fedray.experiment.tracked import ended, keep_picture
from fedray.federation import is_server_alone, keep_newest, latest_round, load_checkpoint, make_strategy
from fedray.results.basis import basis_of, judged_by
from fedray.results.files import CHECKPOINT, RESULTS
from fedray.results.finished import Finished
from fedray.results.folder import (
    EXPERIMENT,
    check_basis,
    check_folder,
    extend,
    finish,
    is_started,
    open_folder,
    outcome_of,
    saved_as,
)
from fedray.results.ledger import EXPERIMENT_ACCOUNT, Ledger
from fedray.results.place import Place
from fedray.results.start import Start, opened_start, rests_on
from fedray.results.unsent import send_after, send_before
from fedray.simulation import WorkerPool
from fedray.storage import parquet_bytes, read_table, write_whole
from fedray.tasks import Sampler, task_of
from fedray.tracking import Pages, TrackedRun, Tracker, check_tracking

OnEvaluator = Callable[[Judge], None]


@dataclass(frozen=True)
class Result:
    """What a finished experiment leaves."""

    config: ExperimentConfig
    scores: Scores
    """Of the last round."""
    floor: Scores
    """What real training tiles score in the generator's place, or who always answers the majority label."""
    history: pd.DataFrame
    """A row a round."""
    run_id: str
    """Of the MLflow run."""
    out: Path
    """Folder with ``config.yaml``, ``results.parquet``, ``samples.png``, ``self_test.parquet`` and ``checkpoint/``.
    Of a classifier ``confusion.png`` in the place of the picture and the self-test."""
    pages: Pages = field(default_factory=dict)
    """Addresses of MLflow's pages on it; none where no tracking server runs."""
    quality: str = ""
    """How well the extractor that judged tells the store's labels apart; empty for one that was not trained on it."""

    def generator(self, device: str = "cpu") -> Sampler:
        """Build what makes tiles, as it was scored: ``generator().sample(labels, torch_stream(seed, "mine"))``.

        Arguments and errors as of :meth:`fedray.results.finished.Finished.sampler`.
        """
        return Finished.open(self.out).sampler(device)


def run_experiment(
    config: ExperimentConfig,
    *,
    out: str | Path | Place,
    tracking_uri: str,
    on_round: OnRound = lambda result: None,
    on_evaluator: OnEvaluator = lambda evaluator: None,
    pool: WorkerPool | None = None,
    telling: Telling = ALONE,
) -> Result:
    """Run one experiment, or continue the one whose checkpoint is in ``out``; one that is done is not run again.

    One whose configuration is as before but for more ``federation.num_rounds`` goes on to as many, in the same run.

    Everything that can be wrong is checked before anything is written.

    Args:
        config: What to run.
        out: Place for the results: a folder, or an ``s3://`` or ``gs://`` address.
        tracking_uri: Of MLflow.
        on_round: Told after every round.
        on_evaluator: Told what judges, before the first round.
        pool: Workers to run on, which stay for the next experiment (see :func:`start_workers`); unset: own ones,
            started and ended here. With ``resources.engine`` 'ray-train' they are Ray Train's own in any case.
        telling: What MLflow is told of it; unset: all.

    Raises:
        ValueError: The data, the partition or the resources are impossible; the message says how.
        TrackingError: The tracking server does not answer.
        InUseError: Another job runs in ``out``.
        DivergedError: A loss exploded. The rounds before it are tracked, and the run ends as FAILED.
        FederationError: Too many clients failed.
    """
    out = Place.at(out)
    if (finished := finished_experiment(config, out)) is not None:
        send_after(out, tracking_uri)
        return finished
    with out.held():
        return _run_held(config, out, tracking_uri, on_round, on_evaluator, pool, telling)


def _run_held(
    config: ExperimentConfig,
    out: Place,
    tracking_uri: str,
    on_round: OnRound,
    on_evaluator: OnEvaluator,
    pool: WorkerPool | None,
    telling: Telling,
) -> Result:
    """Run an experiment in a place that no other job can enter; what is there is looked at once more."""
    if (finished := finished_experiment(config, out)) is not None:
        return finished
    config, store, start = check_experiment(config, out)
    cluster = connect()
    check_reach(config, cluster)
    resources = plan_workers(config, cluster) if pool is None else pool.resources
    check_tracking(tracking_uri)
    send_before(out, tracking_uri)
    evaluator, prepared = prepare_judge(config, out.folder)
    basis = {**basis_of(config, store), **rests_on(start), **judged_by(evaluator.extractor)}
    if is_started(out, EXPERIMENT) and is_extension(config, saved_config(out)):
        extend(out, EXPERIMENT, config)
    key = open_folder(out, EXPERIMENT, config, basis)
    keep_evaluation(prepared, out.folder)
    keep_self_test(evaluator.self_test, out.folder)
    out.push()
    on_evaluator(evaluator)
    told = config.tracking
    tracker = Tracker(tracking_uri, told.experiment, real_tiles=told.real_tiles, kept_in=out.address)
    own = {"fedray.cluster": cluster_name(), **start_tags(start)}
    tags = own | blind_tags(evaluator.self_test) | quality_tags(evaluator)
    account = Ledger.at(out).account(EXPERIMENT_ACCOUNT) if config.is_private else None
    with open_experiment(config, resources, prepared, account, pool, start) as run:
        run.load(out.folder / CHECKPOINT)
        keep_newest(out.folder / CHECKPOINT)  # a job that died may have left older ones
        with ended(telling.open(tracker, config, store, key, tags)) as tracked:
            pages = telling.begin(run, store, tracker, tracked, evaluator, out.folder)
            evaluation = run_rounds(run, out, tracked, telling.on_round(tracked, store), on_round) or run.evaluate()
            _log_picture(run, out, store, tracked, evaluation)
            telling.end(run, store, tracked, evaluator, evaluation)
            out.push()
    outcome = {"scores": evaluation.scores, "floor": evaluator.floor, "quality": quality_line(evaluator),
               "run_id": tracked.run_id, "pages": pages}  # fmt: skip
    finish(out, outcome)
    return _result(config, out, outcome)


class Checked(NamedTuple):
    """An experiment that can start, as far as can be seen without starting it."""

    config: ExperimentConfig
    """With all that was unset filled in (:func:`settled`)."""
    store: TileStore
    start: Start | None
    """What it starts from; None where its networks are drawn."""


def check_experiment(config: ExperimentConfig, out: Place) -> Checked:
    """Refuse an experiment that cannot run, or that is not the one that was started in its folder; starts nothing.

    Raises:
        ValueError: The message names the value, the rule and the remedy.
    """
    config = config.model_copy(update={"data": absolute_store(config.data)})
    saved = saved_config(out) if is_started(out, EXPERIMENT) else None
    store = local_store(config.data)
    check_basis(out, EXPERIMENT, basis_of(config, store))
    config = settled(config)
    if saved is not None and is_extension(config, saved):
        _check_extension(config, out)
        saved = config
    check_folder(out, EXPERIMENT, config, saved)
    start = opened_start(config.starts_from)
    check_basis(out, EXPERIMENT, rests_on(start))
    check_config(config, store, start)
    return Checked(config, store, start)


def check_config(config: ExperimentConfig, store: TileStore, start: Start | None = None) -> None:
    """Refuse a configuration with which no round could run.

    Args:
        config: With all that was unset filled in.
        store: Its tiles.
        start: What ``starts_from`` names, where it is open already; unset: it is opened here.

    Raises:
        ValueError: The message names the value, the rule and the remedy.
    """
    training_sizes(config)
    judging_of(config).check(config, store)
    # Networks that cannot be built and weights that are missing are refused.
    task_of(config).fresh(config, store_shape(store), "cpu")
    make_strategy(config, store_shape(store))
    check_start(config, store, start)


def finished_experiment(config: ExperimentConfig, out: Place) -> Result | None:
    """Return the result of an experiment that is done, None while there is something left to do; starts nothing.

    Raises:
        ConfigError: Another experiment is done there, or its configuration was changed since.
    """
    if (outcome := outcome_of(out)) is None:
        return None
    saved = saved_config(out)
    if config != saved:
        config = settled(config)
        if is_extension(config, saved):
            return None
        check_folder(out, EXPERIMENT, config, saved)
    return _result(saved, out, outcome)


def is_extension(config: ExperimentConfig, of: ExperimentConfig) -> bool:
    """Say whether a configuration asks for more rounds than another one, and for nothing else."""
    return config.federation.num_rounds > of.federation.num_rounds and config == with_rounds(
        of, config.federation.num_rounds
    )


def with_rounds(config: ExperimentConfig, num_rounds: int) -> ExperimentConfig:
    """Return a configuration with another number of rounds.

    Raises:
        ConfigError: There cannot be so many.
    """
    return override(config, {"federation.num_rounds": num_rounds}, source="the number of rounds")


def _check_extension(config: ExperimentConfig, out: Place) -> None:
    newest = latest_round(out.folder / CHECKPOINT)
    if newest is not None and is_server_alone(newest):
        raise ConfigError(
            f"the experiment in {out} cannot go on for more rounds: it is a step of a study, of which no client's "
            f"optimiser is kept; start a new one with --starts-from {quote(str(out))}"
        )
    if config.family.stops_after is not None:
        raise ConfigError(
            f"the experiment in {out} cannot go on for more rounds: {config.task}.patience says when it is done, and "
            f"its networks are then those of its best evaluation; start a new one with --starts-from {quote(str(out))}"
        )


def rounds_done(out: Place) -> int:
    """Count the rounds after which the experiment in a folder would go on; 0 where there is none."""
    newest = latest_round(out.folder / CHECKPOINT)
    return load_checkpoint(newest)[0].round_index if newest else 0


def _result(config: ExperimentConfig, out: Place, outcome: Mapping[str, Any]) -> Result:
    scores, floor, run_id = (outcome[name] for name in ("scores", "floor", "run_id"))
    history = read_table(out.folder / RESULTS)
    pages, quality = outcome.get("pages", {}), outcome.get("quality", "")
    return Result(config, scores, floor, history, run_id, out.folder, pages, quality)


def saved_config(out: Place) -> ExperimentConfig:
    """Read the configuration of the experiment that was started in a folder.

    Raises:
        ConfigError: There is none, or it was changed since.
    """
    return saved_as(out, EXPERIMENT, load_config, ExperimentConfig)


def run_rounds(run: Run, out: Place, tracked: TrackedRun, log: OnRound, on_round: OnRound) -> Evaluation | None:
    """Run the rounds that are left; keep history and checkpoints in the place.

    Returns:
        The last evaluation; None where no round was left, or the last one is not evaluated.
    """
    path = out.folder / RESULTS
    rows: list[dict[Any, Any]] = read_table(path).to_dict("records") if path.exists() else []
    rows = [row for row in rows if row["round"] <= run.state.round_index]  # later ones were lost with their state
    evaluation = None
    while not run.done:
        result = run.step()
        evaluation = result.evaluation
        rows.append({"round": result.report.round_index, **result.metrics})
        write_whole(path, parquet_bytes(pd.DataFrame(rows)))
        log(result)
        if run.done or run.state.round_index % run.config.federation.checkpoint_every == 0:
            tracked.flush()  # first: a killed run goes on after its checkpoint and does not log those rounds again
            run.save(out.folder / CHECKPOINT)
            out.push()
        on_round(result)
    return evaluation


def _log_picture(run: Run, out: Place, store: TileStore, tracked: TrackedRun, evaluation: Evaluation) -> None:
    """Keep the last round's picture, and log it."""
    picture = out.folder / judging_of(run.config).FILES[0]
    title = f"{run.config.family.subject}, round {run.state.round_index}"
    keep_picture(tracked, picture, store, evaluation.preview, title)
