"""Promotion: after the search its best trials go on for more rounds, and are judged at last with other noise.

The score of the winner among many noisy ones flatters it, and so does that of the best of many rounds. A promoted
trial's score is a new one, of tiles made from the noise of another seed, for which nothing was chosen.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd

from fedray.cluster import cluster_size, plan_workers
from fedray.config import ExperimentConfig, to_yaml
from fedray.experiment import RoundResult, Run, ended, log_round, open_experiment, start_workers
from fedray.experiment.thinning import thin
from fedray.federation import DivergedError
from fedray.randomness import derive_seed
from fedray.results.files import BEST_ROUND, CHECKPOINT, NEWEST_ROUND, PROMOTED, SCORED_ROUND
from fedray.results.ledger import Ledger
from fedray.results.pictures import Preview
from fedray.simulation import WorkerPool, WorkerResources
from fedray.storage import private_folder, scratch_folder, sealed, unsealed, whole_folder, write_whole
from fedray.storage.whole import put_back
from fedray.sweep.begun import BegunSweep
from fedray.sweep.counted import CountedRound, counted_folder, read_preview, write_preview
from fedray.sweep.dimensions import Value
from fedray.sweep.promoted import Promoted
from fedray.sweep.results import trial_params
from fedray.sweep.trial import run_name, with_round
from fedray.terminal import plain_console
from fedray.tracking import TrackedRun

_OUTCOME, _CONFIG, _SPENT = "promoted.json", "promoted.yaml", "spent.json"
_JUDGED = "promoted/"  # beginning of the names of its scores in MLflow

CheckpointOf = Callable[[str], AbstractContextManager[Path]]
"""Opens the last checkpoint of a trial of the search."""


def promote_trials(
    sweep: BegunSweep, trials: pd.DataFrame, checkpoint_of: CheckpointOf, pool: WorkerPool | None = None
) -> list[Promoted]:
    """Have the best trials of a search go on, one after another; one that has gone on before does not again.

    Args:
        sweep: Says how many, and for how many rounds.
        trials: Of the search, best first.
        checkpoint_of: Where they ended.
        pool: Workers to run on, which stay; unset: own ones, as many as the cluster has for one experiment.

    Returns:
        All that have gone on, also those that were the best before a search was extended.
    """
    if sweep.space.promote is None:
        return []
    complete = trials[trials["outcome"] == "complete"]
    done = {trial: found for trial in complete["trial"] if (found := _outcome(_folder(sweep, trial))) is not None}
    left = [row for _, row in complete.head(sweep.space.promote.top).iterrows() if row["trial"] not in done]
    with ExitStack() as stack:
        for row in left:
            if pool is None:
                resources = plan_workers(sweep.space.fixed, cluster_size())
                pool = stack.enter_context(start_workers(sweep.space.fixed, resources, sweep.prepared))
            with checkpoint_of(row["trial"]) as searched:
                done[row["trial"]] = _promote(sweep, row, trials, searched, pool)
    return list(done.values())


def promoted_round(sweep: BegunSweep, trial: str) -> tuple[Path, Preview]:
    """Return the folder with the round by which a promoted trial is judged, and what there is of it to look at."""
    folder = _folder(sweep, trial)
    return counted_folder(folder / CHECKPOINT), read_preview(folder)


def noise_seed(config: ExperimentConfig) -> int:
    """Return the seed of the noise by which a promoted trial is judged."""
    return derive_seed(config.seed, "promotion") % 2**31


def _promote(
    sweep: BegunSweep, row: "pd.Series[Any]", trials: pd.DataFrame, searched: Path, pool: WorkerPool
) -> Promoted:
    """Have a trial go on after its round that counts, or from where a job that was stopped had brought it."""
    assert sweep.space.promote is not None
    trial, begun_at = str(row["trial"]), int(row[SCORED_ROUND])
    folder, params = _folder(sweep, trial), trial_params(sweep.space, row["number"], trials)
    config = sweep.space.trial_config({**params, "federation.num_rounds": begun_at + sweep.space.promote.rounds})
    account = Ledger.at(sweep.out).account(trial) if config.is_private else None
    private_folder(folder)
    with ExitStack() as stack:
        counted = CountedRound(sweep.space, stack.enter_context(scratch_folder()))
        tracked = stack.enter_context(ended(_continued(sweep, trial, params, config, begun_at)))
        opened = open_experiment(config, pool.resources, sweep.prepared, account, pool, sweep.start)
        stage = _Stage(sweep, stack.enter_context(opened), counted, tracked, folder, pool.resources)
        stage.load(searched)
        diverged = stage.run_rounds()
        return stage.judged(trial, begun_at, diverged)


def _continued(
    sweep: BegunSweep, trial: str, params: dict[str, Value], config: ExperimentConfig, begun_at: int
) -> TrackedRun:
    """Open the trial's run again. Its parameters stay, for MLflow changes none: what it went on as is a file of it."""
    tags = {**sweep.tags, "fedray.promoted": f"from round {begun_at} to {config.federation.num_rounds}"}
    name = run_name(sweep.space.name, trial, params)
    tracked = sweep.tracker.start_run(name, parent_run_id=sweep.parent.run_id, key=trial, tags=tags)
    with scratch_folder() as scratch:
        (scratch / _CONFIG).write_text(to_yaml(config), encoding="utf-8")
        tracked.log_artifact(scratch / _CONFIG)
    return tracked


class _Stage:
    """A trial that goes on, in its folder and its run."""

    def __init__(
        self,
        sweep: BegunSweep,
        run: Run,
        counted: CountedRound,
        tracked: TrackedRun,
        folder: Path,
        held: WorkerResources,
    ) -> None:
        self._sweep, self._run, self._counted, self._held = sweep, run, counted, held
        self._tracked, self._folder = tracked, folder
        self._spent: dict[str, float] = {}

    def load(self, searched: Path) -> None:
        """Stand where a job that was stopped left it, or at the round by which the search judged it."""
        own = self._folder / CHECKPOINT
        put_back(own)
        if own.is_dir():
            self._run.load(own / NEWEST_ROUND)
            self._counted.load(own)
            self._spent = unsealed((own / _SPENT).read_bytes(), own / _SPENT)
        else:
            self._run.load(counted_folder(searched))
            self._counted.load(searched)

    def run_rounds(self) -> str:
        """Run the rounds that are left; returns why they ended before their time, if they did."""
        run = self._run
        while not run.done:
            started = monotonic()
            try:
                result = run.step()
            except DivergedError as error:
                return str(error)
            log_round(self._tracked, self._sweep.store, result)
            self._spent = with_round(self._spent, self._sweep.space, self._held, started, result)
            if result.evaluation is not None:
                self._counted.see(run, result.evaluation)
                self._tell(result)
            if run.done or run.state.round_index % run.config.federation.checkpoint_every == 0:
                self._save()
        return ""

    def judged(self, trial: str, begun_at: int, diverged: str) -> Promoted:
        """Judge it with other noise, and keep what came of it."""
        run, found, goal = self._run, self._counted.found, self._sweep.space.goal.metric
        rounds = run.state.round_index
        self._counted.return_to(run)
        scored_round = run.state.round_index
        evaluation = run.evaluate(noise_seed(run.config))
        chosen = found.scores[goal] if found is not None and found.round_index == scored_round else math.nan
        outcome = Promoted(
            trial, begun_at, rounds, scored_round, chosen, dict(evaluation.scores), self._spent, diverged
        )
        self._tracked.log_figures(scored_round, {_JUDGED + name: value for name, value in evaluation.scores.items()})
        write_preview(self._folder, evaluation.preview)
        write_whole(self._folder / _OUTCOME, sealed(asdict(outcome)))  # last: it says that the rest is whole
        for kept in (NEWEST_ROUND, BEST_ROUND):
            thin(run.config, self._folder / CHECKPOINT / kept)
        self._sweep.out.push()
        return outcome

    def _save(self) -> None:
        self._tracked.flush()  # first: a killed job goes on after its checkpoint and does not log those rounds again
        with whole_folder(self._folder / CHECKPOINT) as partial:
            self._counted.save(self._run, partial)
            write_whole(partial / _SPENT, sealed(self._spent))
        self._sweep.out.push()

    def _tell(self, result: RoundResult) -> None:
        found, goal = self._counted.found, self._sweep.space.goal.metric
        assert result.evaluation is not None and found is not None
        plain_console().print(
            f"promoted {self._folder.name} round {result.report.round_index}/{self._run.config.federation.num_rounds}: "
            f"{goal} {result.evaluation.scores.get(goal, math.nan):.4g} (best {found.scores[goal]:.4g}, "
            f"round {found.round_index})",
            soft_wrap=True,
        )


def _folder(sweep: BegunSweep, trial: str) -> Path:
    return sweep.out.folder / PROMOTED / trial


def _outcome(folder: Path) -> Promoted | None:
    path = folder / _OUTCOME
    return Promoted(**unsealed(path.read_bytes(), path)) if path.is_file() else None
