"""run_sweep(space) -> SweepResult: Tune and Optuna over whole experiments; a stopped sweep continues where it was."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial
from ray import tune

from fedray.cluster import cluster_name, connect
from fedray.cluster.reach import check_reach
from fedray.data import TileStore
from fedray.errors import UserError
from fedray.experiment import KIND, Prepared, describe, ended
from fedray.experiment.judging import Judge, judging_of
from fedray.experiment.prepare import keep_evaluation, prepare_judge
from fedray.experiment.run import OnEvaluator
from fedray.experiment.self_tested import blind_tags, keep_self_test, log_self_test, quality_line, quality_tags
from fedray.experiment.starting import start_tags
from fedray.experiment.tracked import keep_picture, log_model
from fedray.federation import latest_round, load_server
from fedray.learning import Arrays
from fedray.results import Place
from fedray.results.basis import Basis, basis_of, judged_by
from fedray.results.files import PROMOTED_ROUNDS, SCORED_ROUND
from fedray.results.folder import SWEEP, finish, is_started, open_folder
from fedray.results.ledger import Ledger
from fedray.results.pictures import Preview
from fedray.results.start import Start, rests_on
from fedray.results.unsent import send_after, send_before
from fedray.sweep.begun import BegunSweep
from fedray.sweep.check import check_goal_means_something, check_sweep, extend_sweep, finished_sweep
from fedray.sweep.checkpoints import drop_checkpoints, last_checkpoint
from fedray.sweep.counted import counted_folder, load_counted
from fedray.sweep.kept import keep_study
from fedray.sweep.known import known_trials
from fedray.sweep.pages import RANK, ROUND, SCORE, keep_pages
from fedray.sweep.plan import SweepPlan, plan_sweep
from fedray.sweep.promoted import with_promotions
from fedray.sweep.promotion import promote_trials, promoted_round
from fedray.sweep.report import keep_report
from fedray.sweep.results import (
    PRIVACY_SPENT,
    RUN_ID,
    SweepResult,
    trial_table,
    with_context,
    with_epsilon,
    write_results,
)
from fedray.sweep.space import SearchSpace
from fedray.sweep.trial import FederatedTrial
from fedray.sweep.tuning import Search, run_trials
from fedray.tracking import Status, TrackedRun, Tracker, check_tracking, origin_tags


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

    One whose space is as before but for more ``num_trials`` goes on to as many: one study, one parent run.

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
        InUseError: Another job runs in ``out``.
        SweepError: No trial completed.
    """
    out = Place.at(out)
    if (finished := finished_sweep(space, out)) is not None:
        send_after(out, tracking_uri)
        return finished
    with out.held():
        return _run_held(space, out, tracking_uri, on_evaluator)


def _run_held(space: SearchSpace, out: Place, tracking_uri: str, on_evaluator: OnEvaluator) -> SweepResult:
    """Run a sweep in a place that no other job can enter; what is there is looked at once more."""
    if (finished := finished_sweep(space, out)) is not None:
        return finished
    space, store, start, _ = check_sweep(space, out)
    cluster = connect()
    check_reach(space.fixed, cluster, out.folder if out.shared is None else None)
    plan = plan_sweep(space, cluster)
    check_tracking(tracking_uri)
    send_before(out, tracking_uri)
    # Once for all trials: the extractor is trained, and the real tiles' features are computed, before any of them runs.
    evaluator, prepared = prepare_judge(space.fixed, out.folder)
    check_goal_means_something(space, evaluator.self_test)
    extend_sweep(out, space)
    basis = {**basis_of(space.fixed, store), **rests_on(start), **judged_by(evaluator.extractor)}
    if not is_started(out, SWEEP):
        known_trials(space, basis)  # refused, where its features were others, before anything is written
    key = _open_folder(out, space, basis, evaluator, prepared)
    on_evaluator(evaluator)
    out.push()  # trials write to their own place: the next push is at the end
    tracking = space.fixed.tracking
    tracker, tags = (
        Tracker(tracking_uri, tracking.experiment, real_tiles=tracking.real_tiles, kept_in=out.address),
        _tags(space, start, evaluator),
    )
    with ended(_start_run(tracker, key, space, store, tags)) as parent:
        sweep = BegunSweep(space, store, start, out, evaluator, prepared, tracker, parent, tags)
        _log_start(sweep)
        searcher, grid = _run_trials(sweep, plan, partial(_known, space, basis))
        found = trial_table(space, searcher)
        promoted = promote_trials(sweep, found, partial(last_checkpoint, grid))
        result = _rank(sweep, with_promotions(space, found, promoted))
        run_ids = dict(zip(result.trials["trial"], result.trials[RUN_ID], strict=True))
        keep_study(searcher.runs, run_ids, out.folder)
        _conclude(sweep, result, grid)
        keep_report(result, searcher.runs, store, out, parent)
        drop_checkpoints(grid, space)
        out.push()
    finish(out, {"pages": result.pages})
    return result


def _open_folder(out: Place, space: SearchSpace, basis: Basis, evaluator: Judge, prepared: Prepared) -> str:
    """Begin, or go on, in the sweep's folder with what judges its trials; returns the key of its run."""
    key = open_folder(out, SWEEP, space, basis)
    keep_evaluation(prepared, out.folder)
    keep_self_test(evaluator.self_test, out.folder)
    return key


def _tags(space: SearchSpace, start: Start | None, evaluator: Judge) -> dict[str, str]:
    """Tags of the sweep's run and of every trial's."""
    own = {"fedray.sweep": space.name, "fedray.cluster": cluster_name(), **start_tags(start)}
    return own | blind_tags(evaluator.self_test) | quality_tags(evaluator) | origin_tags()


def _start_run(tracker: Tracker, key: str, space: SearchSpace, store: TileStore, tags: Mapping[str, str]) -> TrackedRun:
    described = {**describe(space.fixed, store), KIND: "sweep", **tags}
    return tracker.start_run(f"sweep {space.name}", key=key, params={}, tags=described)


def _log_start(sweep: BegunSweep) -> None:
    parent, out = sweep.parent, sweep.out.folder
    parent.log_config(sweep.space.fixed)
    parent.log_dataset(sweep.store)
    parent.log_artifact(out / "sweep.yaml")
    log_self_test(parent, sweep.evaluator.self_test, out)
    keep_pages(sweep.space, sweep.score_names, sweep.tracker, parent.run_id)


def _known(space: SearchSpace, basis: Basis) -> Sequence[FrozenTrial]:
    found = known_trials(space, basis)
    return found.trials if found else ()


def _run_trials(sweep: BegunSweep, plan: SweepPlan, known: Callable[[], Sequence[FrozenTrial]]) -> Search:
    """Run the trials that are left; Ctrl-C ends their runs too, whose processes are gone."""
    trial = tune.with_parameters(
        FederatedTrial,
        space=sweep.space,
        workers=plan.workers,
        ledger=Ledger.at(sweep.out),
        parent_run_id=sweep.parent.run_id,
        tracking_uri=sweep.tracker.uri,
        prepared=sweep.prepared,
        tags=dict(sweep.tags),
        start=sweep.start,
    )
    try:
        return run_trials(tune.with_resources(trial, plan.placement()), sweep.space, plan, sweep.out, known)
    except KeyboardInterrupt:
        sweep.tracker.end_unfinished(sweep.parent.run_id)
        raise


def _rank(sweep: BegunSweep, trials: pd.DataFrame) -> SweepResult:
    """Complete the table of the trials, and tell MLflow."""
    space, parent = sweep.space, sweep.parent
    if space.is_private:
        ledger, rounds = Ledger.at(sweep.out), space.fixed.federation.num_rounds
        trials = with_epsilon(trials, space, ledger)
        parent.log_figures(rounds, {PRIVACY_SPENT: ledger.epsilon(space.fixed.privacy.delta)})
    run_ids = _end_trials(space, trials, sweep.tracker, parent.run_id)
    trials = with_context(trials, sweep.evaluator.floor, run_ids, quality_line(sweep.evaluator))
    complete = [run_id for run_id, outcome in zip(run_ids, trials["outcome"], strict=True) if outcome == "complete"]
    pages = keep_pages(space, sweep.score_names, sweep.tracker, parent.run_id, complete)
    return SweepResult(space, trials, sweep.out.folder, pages)


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
        known = {RANK: rank, SCORE: trial["score"], ROUND: trial[SCORED_ROUND]}
        metrics = {name: float(value) for name, value in known.items() if pd.notna(value)}
        run_ids.append(tracker.conclude_run(parent_run_id, str(trial["trial"]), status, tags, metrics))
    return run_ids


def _conclude(sweep: BegunSweep, result: SweepResult, grid: tune.ResultGrid) -> None:
    """Write the results and log them with the parent run.

    Raises:
        SweepError: No trial completed.
    """
    space, store, parent, out = sweep.space, sweep.store, sweep.parent, result.out
    outcomes = result.trials["outcome"].value_counts().to_dict()
    if "complete" not in outcomes:
        raise SweepError(
            f"no trial of {space.name} ran all its rounds: {outcomes}; see the errors in {grid.experiment_path}"
        )
    written = write_results(result)
    if result.pages:
        parent.describe(", ".join(f"[{name}]({page})" for name, page in result.pages.items()))
    best = result.best
    arrays, preview = _counted_round(sweep, best, grid)
    at = f" in round {best[SCORED_ROUND]:g}" if space.score == "best" else ""
    title = f"{space.name}, trial {best['trial']}: {space.goal.metric} {best['score']:.4g}{at}"
    picture = judging_of(space.fixed).FILES[0]
    keep_picture(parent, out / picture, store, preview, title)
    for name in written:
        parent.log_artifact(out / name)
    rounds = int(best[SCORED_ROUND])
    scores = {name: float(best[name]) for name in sweep.score_names if pd.notna(best.get(name))}
    parent.log_figures(rounds, {space.goal.metric: float(best["score"])} | scores)
    log_model(parent, result.best_config, arrays, store, rounds, scores, result.floor)


def _counted_round(sweep: BegunSweep, trial: "pd.Series[Any]", grid: tune.ResultGrid) -> tuple[Arrays, Preview]:
    """Read the arrays and the preview of the round by which a trial is judged."""
    with ExitStack() as stack:
        if trial.get(PROMOTED_ROUNDS, 0) > 0:
            folder, preview = promoted_round(sweep, str(trial["trial"]))
        else:
            checkpoint = stack.enter_context(last_checkpoint(grid, str(trial["trial"])))
            counted = load_counted(checkpoint)
            assert counted is not None, "a complete trial was scored"
            folder, preview = counted_folder(checkpoint), counted.preview
        newest = latest_round(folder)
        assert newest is not None, "a checkpoint holds a round"
        return load_server(newest)[0], preview
