"""run_sweep(space) -> SweepResult: Tune and Optuna over whole experiments; a stopped sweep continues where it was."""

import glob
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from ray import tune

from fedray.config import ConfigError
from fedray.data import TileStore, absolute_store
from fedray.errors import UserError
from fedray.evaluation import EvaluationError, Scores, SelfTest, mode_of, score_names
from fedray.experiment import (
    KIND,
    Place,
    cluster_name,
    connect,
    describe,
    ended,
    from_store,
    generator_arrays,
    log_generator,
    prepare_evaluation,
    save_samples,
)
from fedray.experiment.basis import EXTRACTOR, basis_of
from fedray.experiment.folder import (
    SWEEP,
    check_basis,
    check_folder,
    check_resumable,
    check_unedited,
    finish,
    is_started,
    open_folder,
    outcome_of,
)
from fedray.experiment.ledger import Ledger
from fedray.experiment.prepare import keep_evaluation
from fedray.experiment.reach import check_reach
from fedray.experiment.run import OnEvaluator, check_config
from fedray.experiment.self_tested import blind_tags, keep_self_test, log_self_test
from fedray.federation import latest_round, load_checkpoint, local_store, shared_arrays
from fedray.models import Arrays
from fedray.storage import SharedFolder, private_folder
from fedray.sweep.checkpoints import DropCheckpoints, drop_checkpoints
from fedray.sweep.pages import RANK, keep_pages
from fedray.sweep.plan import SweepPlan, plan_sweep
from fedray.sweep.progress import SweepProgress
from fedray.sweep.results import (
    PRIVACY_SPENT,
    SweepResult,
    trial_table,
    with_context,
    with_epsilon,
    write_results,
)
from fedray.sweep.searcher import OptunaSearcher, SweepSearch
from fedray.sweep.space import SearchSpace, load_space
from fedray.sweep.state import put_state_back
from fedray.sweep.stopping import RungScheduler
from fedray.sweep.trial import PREVIEW, FederatedTrial
from fedray.tracking import Status, TrackedRun, Tracker, check_tracking, origin_tags

TUNE_ENVIRONMENT = {
    # A snapshot after every event: a killed driver loses no trial that had ended. Rounds take seconds, it takes ms.
    "TUNE_GLOBAL_CHECKPOINT_S": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # A round without evaluation has no score, and a diverged trial never will: both are told, neither is an error.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Results go to MLflow and Parquet, progress is SweepProgress's.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ctrl-C is ours: Tune would end the sweep as if it were complete.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
"""Settings that Tune takes from the environment alone; what the user has set stays."""

Search = tuple[OptunaSearcher, tune.ResultGrid]


class SweepError(UserError, RuntimeError):
    """A sweep ended without a complete trial. The message says how its trials ended and where to look."""


def run_sweep(
    space: SearchSpace,
    *,
    out: str | Path | Place,
    tracking_uri: str,
    on_evaluator: OnEvaluator = lambda evaluator: None,
) -> SweepResult:
    """Run a sweep, or continue the one that was stopped in ``out``; one that is done is not run again.

    Everything that can be wrong is checked before anything is written.

    Args:
        space: What to search.
        out: Place for the results and the sweep's own state: a folder that all nodes see, or an ``s3://`` or
            ``gs://`` address.
        tracking_uri: Of MLflow.
        on_evaluator: Told what judges, before the first trial.

    Raises:
        ValueError: The space, its data or its resources are impossible; the message says how.
        TrackingError: The tracking server does not answer.
        SweepError: No trial completed.
    """
    out = Place.at(out)
    if (finished := finished_sweep(space, out)) is not None:
        return finished
    space, store = check_sweep(space, out)
    cluster = connect()
    check_reach(space.fixed, cluster, out)
    plan = plan_sweep(space, cluster)
    check_tracking(tracking_uri)
    # Once for all trials: the extractor is trained, and the real tiles' features are computed, before any of them runs.
    evaluator, prepared = prepare_evaluation(space.fixed, out.folder)
    _check_goal_means_something(space, evaluator.self_test)
    key = open_folder(out, SWEEP, space, {**basis_of(space.fixed, store), EXTRACTOR: evaluator.extractor.identity})
    keep_evaluation(prepared, out.folder)
    keep_self_test(evaluator.self_test, out.folder)
    on_evaluator(evaluator)
    out.push()  # trials write to their own place: the next push is at the end
    tracker = Tracker(tracking_uri, space.fixed.tracking.experiment)
    tags = {"fedray.sweep": space.name, "fedray.cluster": cluster_name(), **blind_tags(evaluator.self_test)}
    tags |= origin_tags()
    described = {**describe(space.fixed, store), KIND: "sweep", **tags}
    names = score_names(space.fixed.evaluation, store)
    parent = tracker.start_run(f"sweep {space.name}", key=key, params={}, tags=described)
    with ended(parent):
        parent.log_config(space.fixed)
        parent.log_dataset(store)
        parent.log_artifact(out.folder / "sweep.yaml")
        log_self_test(parent, evaluator.self_test, out.folder)
        keep_pages(space, names, tracker, parent.run_id)
        shared = {"parent_run_id": parent.run_id, "tracking_uri": tracking_uri, "prepared": prepared, "tags": tags}
        ledger = Ledger.at(out)
        trial = tune.with_parameters(FederatedTrial, space=space, workers=plan.workers, ledger=ledger, **shared)
        try:
            searcher, grid = run_trials(tune.with_resources(trial, plan.placement()), space, plan, out)
        except KeyboardInterrupt:
            tracker.end_unfinished(parent.run_id)
            raise
        trials = trial_table(space, searcher)
        if space.is_private:
            trials = with_epsilon(trials, space, ledger)
            parent.log_round(
                space.fixed.federation.num_rounds, {PRIVACY_SPENT: ledger.epsilon(space.fixed.privacy.delta)}
            )
        run_ids = _end_trials(space, trials, tracker, parent.run_id)
        trials = with_context(trials, evaluator.floor, run_ids)
        complete = [run_id for run_id, outcome in zip(run_ids, trials["outcome"], strict=True) if outcome == "complete"]
        pages = keep_pages(space, names, tracker, parent.run_id, complete)
        result = SweepResult(space, trials, out.folder, pages)
        _conclude(result, grid, store, parent)
        drop_checkpoints(grid)
        out.push()
    finish(out, {"pages": pages})
    return result


def _check_goal_means_something(space: SearchSpace, test: SelfTest | None) -> None:
    """Refuse to optimise the score of a label that these features do not tell from the others."""
    goal = space.goal.metric
    if test is not None and not test.without_void({goal: 0.0}):
        total = goal.partition("/label/")[0]
        raise EvaluationError(
            f"goal.metric {goal} of {space.name} cannot be optimised: permuted labels do not worsen that score, so it "
            f"says nothing about its label; take {total}, or another evaluation.extractor"
        )


def finished_sweep(space: SearchSpace, out: Place) -> SweepResult | None:
    """Return the result of a sweep that is done, None while there is something left to do; starts nothing.

    Raises:
        ConfigError: Another sweep is done there, or its space was changed since.
    """
    if (outcome := outcome_of(out)) is None:
        return None
    saved = saved_space(out)
    if space != saved:
        check_folder(out, SWEEP, settle(space), saved)
    return SweepResult(saved, pd.read_parquet(out.folder / "results.parquet"), out.folder, outcome.get("pages", {}))


def settle(space: SearchSpace) -> SearchSpace:
    """Fill in what the data decide: the goal's full name, and what they say of the fixed configuration.

    A score's name ends with the number of tiles really compared, which depends on the store: ``kid/efficientnet-lite0``
    becomes ``kid/efficientnet-lite0/256``. A goal that names its number, and one that no evaluation yields, stay as
    they are.

    Raises:
        ValueError: The data cannot be opened, are too few to compare, or are not as the configuration says.
    """
    fixed = from_store(space.fixed)
    names = score_names(fixed.evaluation, local_store(fixed.data))
    # Those of all tiles: after "label" comes a label's name, and what is in it is no number to be filled in.
    full = [name for name in names if "/label/" not in name and name.rpartition("/")[0] == space.goal.metric]
    goal = space.goal.model_copy(update={"metric": full[0]}) if full else space.goal
    return space.model_copy(update={"fixed": fixed, "goal": goal})


class Checked(NamedTuple):
    """A sweep that can start, as far as can be seen without starting it."""

    space: SearchSpace
    """With all that the data decide filled in (:func:`settle`)."""
    store: TileStore


def check_sweep(space: SearchSpace, out: Place) -> Checked:
    """Refuse a sweep that cannot run, or that is not the one that was started in its folder; starts nothing.

    Raises:
        ValueError: The message names the value, the rule and the remedy.
    """
    saved = saved_space(out) if is_started(out, SWEEP) else None
    store = local_store(absolute_store(space.fixed.data))
    check_basis(out, SWEEP, basis_of(space.fixed, store))
    space = settle(space)
    check_folder(out, SWEEP, space, saved)
    check_space(space, store)
    return Checked(space, store)


def check_space(space: SearchSpace, store: TileStore) -> None:
    """Refuse a space whose objective no evaluation yields, or with a value that no trial can run, fixed or searched.

    Args:
        space: With all that the data decide filled in.
        store: Its tiles.

    Raises:
        ConfigError: The objective is no score of this evaluation (the valid ones are named), its mode asks for the
            worst, or a searched value is impossible.
        ValueError: What is fixed is impossible.
    """
    _check_goal(space, store)
    check_config(space.trial_config({}), store)
    for path, dimension in space.search.items():
        for value in dimension.examples():
            try:
                check_config(space.trial_config({path: value}), store)
            except ValueError as error:
                raise ConfigError(f"{space.name} searches {path}, but at {value} a trial cannot run: {error}") from None
    for number, point in enumerate(space.start_points):
        try:
            check_config(space.trial_config(point), store)
        except ValueError as error:
            raise ConfigError(f"start_points[{number}] of {space.name} cannot run: {error}") from None


def _check_goal(space: SearchSpace, store: TileStore) -> None:
    metric = space.goal.metric
    names = [name for name in score_names(space.fixed.evaluation, store) if mode_of(name) is not None]
    if metric not in names:
        of_all = [name for name in names if "/label/" not in name]
        of_label = next((f", or of one label, such as {name}" for name in names if "/label/" in name), "")
        raise ConfigError(
            f"goal.metric must be one of {', '.join(of_all)}{of_label}, but got {metric!r} ({space.name})"
        )
    if (mode := mode_of(metric)) != space.goal.mode:
        better = {"min": "lower", "max": "higher"}
        raise ConfigError(
            f"goal.mode must be '{mode}' for {metric}, of which {better[str(mode)]} is better, but got "
            f"'{space.goal.mode}' ({space.name})"
        )


def saved_space(out: Place) -> SearchSpace:
    """Read the search space of the sweep that was started in a folder.

    Raises:
        ConfigError: There is none, or it was changed since.
    """
    check_resumable(out, SWEEP)
    saved = load_space(out.folder / SWEEP.config)
    check_unedited(out, SWEEP, saved)
    return saved


def run_trials(trainable: Any, space: SearchSpace, plan: SweepPlan, out: Place) -> Search:
    """Run the trials that are left; returns the searcher with the whole study, and Tune's results.

    Args:
        trainable: A ``tune.Trainable`` with the resources that it needs.
        space: What is searched.
        plan: How many trials run at a time.
        out: Of the sweep.
    """
    for name, value in (TUNE_ENVIRONMENT | {"TUNE_MAX_PENDING_TRIALS_PG": str(plan.concurrent_trials)}).items():
        os.environ.setdefault(name, value)
    # It looks for the result files of the loggers that are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    SweepSearch.keep_in = Path(out.state) if out.shared is None else None
    if out.shared is None:
        private_folder(Path(out.state))  # before Tune makes it, for everybody
    put_state_back(out)
    if tune.Tuner.can_restore(out.state):
        tuner = tune.Tuner.restore(out.state, trainable, resume_unfinished=True)
    else:
        tuner = _new_tuner(trainable, space, plan, out.state)
    grid = tuner.fit()
    return _saved_searcher(space, out), grid


def _saved_searcher(space: SearchSpace, out: Place) -> OptunaSearcher:
    """Read the searcher as Tune saved it last: after the last trial."""
    searcher = OptunaSearcher(space)
    if out.shared is None:
        searcher.restore_from_dir(glob.escape(out.state))  # Ray reads the folder's name as a pattern
        return searcher
    state = SharedFolder(out.state)
    with TemporaryDirectory() as folder:
        state.download([name for name in state.names() if name.startswith("searcher-state")], Path(folder))
        searcher.restore_from_dir(folder)
    return searcher


def _new_tuner(trainable: Any, space: SearchSpace, plan: SweepPlan, state: str) -> tune.Tuner:
    search = SweepSearch(space, plan.concurrent_trials)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=RungScheduler(search.optuna),  # Tune pickles both together: they stay each other's
            num_samples=space.num_trials,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=state.rpartition("/")[2],
            storage_path=state.rpartition("/")[0],
            callbacks=[SweepProgress(space), DropCheckpoints()],
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=space.fixed.federation.checkpoint_every, checkpoint_at_end=True, num_to_keep=1
            ),
            failure_config=tune.FailureConfig(max_failures=space.max_failures),
            verbose=0,
        ),
    )


def _folder_name(trial: Any) -> str:
    return str(trial.trial_id)


def _end_trials(space: SearchSpace, trials: pd.DataFrame, tracker: Tracker, parent_run_id: str) -> list[str]:
    """Say in each trial's run how it ended: Tune stops trials from outside, and they cannot say it themselves.

    Returns:
        The runs' ids, in the order of the table: best first.
    """
    tracker.delete_other_children(parent_run_id, set(trials["trial"]))
    run_ids = []
    for rank, trial in enumerate(trials.to_dict("records"), start=1):
        tags = {"fedray.outcome": str(trial["outcome"]), "fedray.sweep": space.name}
        status: Status = "FAILED" if trial["outcome"] == "failed" else "FINISHED"
        run_ids.append(tracker.conclude_run(parent_run_id, str(trial["trial"]), status, tags, {RANK: float(rank)}))
    return run_ids


def _conclude(result: SweepResult, grid: tune.ResultGrid, store: TileStore, parent: TrackedRun) -> None:
    """Write the results and log them with the parent run.

    Raises:
        SweepError: No trial completed.
    """
    space, out = result.space, result.out
    outcomes = result.trials["outcome"].value_counts().to_dict()
    if "complete" not in outcomes:
        raise SweepError(
            f"no trial of {space.name} ran all its rounds: {outcomes}; see the errors in {grid.experiment_path}"
        )
    write_results(result)
    if result.pages:
        parent.describe(", ".join(f"[{name}]({page})" for name, page in result.pages.items()))
    best = result.best
    arrays, preview = _last_checkpoint(grid, best["trial"])
    title = f"{space.name}, trial {best['trial']}: {space.goal.metric} {best['score']:.4g}"
    save_samples(out / "samples.png", store, preview, title)
    for name in ("results.parquet", "best.yaml", "samples.png"):
        parent.log_artifact(out / name)
    rounds, scores = int(best["rounds"]), _last_scores(grid, best["trial"], score_names(space.fixed.evaluation, store))
    parent.log_round(rounds, {space.goal.metric: float(best["score"])} | scores)
    if generator := generator_arrays(arrays):
        log_generator(parent, result.best_config, generator, store, rounds, scores)


def _last_scores(grid: tune.ResultGrid, trial_id: str, names: Sequence[str]) -> Scores:
    """Read a trial's scores of its last round."""
    last = next(trial.metrics for trial in grid if trial.metrics and trial.metrics["trial_id"] == trial_id)
    return {name: float(last[name]) for name in names if name in last}


def _last_checkpoint(grid: tune.ResultGrid, trial_id: str) -> tuple[Arrays, NDArray[np.uint8]]:
    """Read the arrays and the preview of a trial's last checkpoint, which is that of its last round."""
    for trial in grid:
        if trial.metrics and trial.metrics["trial_id"] == trial_id and trial.checkpoint:
            with trial.checkpoint.as_directory() as folder:
                newest = latest_round(Path(folder) / "federation")
                assert newest is not None, "a trial's checkpoint holds a round"
                return shared_arrays(load_checkpoint(newest)[0]), np.load(Path(folder) / PREVIEW)
    raise AssertionError(f"a complete trial has a checkpoint, but {trial_id} has none")
