"""Optuna for Ray Tune, told the truth: stopped trials are PRUNED with their intermediate values, diverged ones FAIL.

Ray's own OptunaSearch tells Optuna that trials stopped early are complete, so the sampler mixes budgets, and it loses
trials whose metric is NaN.
"""

import math
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.result import TRAINING_ITERATION
from ray.tune.search import ConcurrencyLimiter, Searcher, SearchGenerator

from fedray.randomness import derive_seed
from fedray.storage.owners import PARTIAL, own_mark, remove_all
from fedray.sweep.by_round import report_score, scores_by_round
from fedray.sweep.conditions import is_active
from fedray.sweep.dimensions import Value
from fedray.sweep.repeats import START_POINT, Repeats, direction_of, values_of
from fedray.sweep.rungs import Rungs
from fedray.sweep.samplers import SAMPLERS
from fedray.sweep.space import EarlyStopping, SearchSpace
from fedray.sweep.state import keep_state

COMPLETED = "completed"
"""Key of a trial's result: whether it ran all its rounds."""
DIVERGED = "diverged"
"""Key of a trial's result: the message of its DivergedError; absent where it did not diverge."""
SCORES, SPENT = "scores/", "spent/"
"""Beginnings of keys of a trial's result that the study keeps: all scores of an evaluation; sums over all rounds."""
SECONDS, STEPS = "seconds", "-steps"
"""The sums: wall time of the rounds with their evaluations; generator steps of all clients together."""
CORE_SECONDS, GPU_SECONDS = "core-seconds", "gpu-seconds"
"""Of the wall time, times the cores or GPUs that the trial's workers hold: further sums."""
TRAINING_SECONDS, SCORING_SECONDS = "training-seconds", "scoring-seconds"
"""Of the wall time, what the clients' passes with their averaging took, and what scoring did: further sums."""
BEGUN, ENDED = "begun", "ended"
"""Keys of a trial's result: when its round began and ended, in seconds of the epoch."""
TIMES = "times"
"""What the study keeps of them: a list of [round, begun, ended], of repeated rounds too."""
COUNTED_ROUND, SCORE_NOW = "counted-round", "score-now"
"""Keys of a trial's result: the round whose scores it holds (``SearchSpace.score``); the goal's score of this one."""
_ROUND = "round"


class OptunaSearcher(Searcher):
    """Suggests configurations with a sampler of Optuna's and keeps its study, which pickles with the sweep's state.

    Attributes:
        study: Of Optuna: a trial a configuration.
        rungs: How trials were judged for early stopping: part of the state, so that a resumed sweep judges as before.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Start a study; the space's start points come first."""
        super().__init__(metric=space.goal.metric, mode=space.goal.mode)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = SAMPLERS[space.sampler]
        own = sampler.make(space, derive_seed(space.fixed.seed, "sampler") % 2**32)
        directions = [direction_of(goal) for goal in space.goals]
        self.study = optuna.create_study(study_name=space.name, sampler=own, directions=directions)
        for point in sampler.first_points(space):  # all points of a grid, none of which somebody began with
            self.study.enqueue_trial(dict(point), user_attrs={START_POINT: bool(space.start_points)})
        self._search, self._bounds = space.search, space.bounds
        self._metrics = [goal.metric for goal in space.goals]
        self._running: dict[str, Trial] = {}
        self._repeats = Repeats(space) if space.seeds > 1 else None
        num_rounds = space.fixed.federation.num_rounds
        stopping = space.early_stopping or EarlyStopping(grace_rounds=num_rounds)  # no rung at all
        self.rungs = Rungs(
            grace_rounds=stopping.grace_rounds,
            reduction_factor=stopping.reduction_factor,
            num_rounds=num_rounds,
            mode=space.goal.mode,
        )

    def learn(self, known: Iterable[FrozenTrial]) -> None:
        """Take trials of another sweep as known: the sampler learns from them, and the table has them not."""
        self.study.add_trials(known)

    @property
    def runs(self) -> optuna.Study:
        """A study of all trials of Tune: each is a configuration, or one of several runs of it."""
        return self._repeats.runs if self._repeats else self.study

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return values for the searched paths, and the seed where there are several."""
        if trial_id not in self._running:
            run = self._repeats.begin(trial_id, self._ask) if self._repeats else self._ask()
            if run is None:
                return str(Searcher.FINISHED)
            run.set_user_attr("trial_id", trial_id)
            self._running[trial_id] = run
        return values_of(self._running[trial_id])

    def _ask(self) -> Trial:
        trial = self.study.ask()
        values: dict[str, Value] = {}
        for path, dimension in self._search.items():
            if is_active(dimension, values):
                values[path] = dimension.suggest(trial, path)
        return trial

    def goes_on(self, trial_id: str, round_index: int, score: float) -> bool:
        """Say whether a trial goes on after a round, as :meth:`Rungs.goes_on`, and its configuration with it."""
        judged = self.rungs.goes_on(trial_id, round_index, score)
        run = self._running.get(trial_id)
        return judged and not (self._repeats and run and self._repeats.is_lost(run))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report a round's score; a round without one says nothing, nor does one that a resumed trial repeats."""
        trial, step = self._running[trial_id], result[TRAINING_ITERATION]
        known = scores_by_round(self.runs.get_trials(deepcopy=False)[trial.number])
        _keep(trial, result)
        if _scored(result, self.metric) and step not in known:
            report_score(trial, result[self.metric], step)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the trial ended; one without a finite score, or one of a constraint, has failed."""
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
        if result:
            _keep(trial, result)
        if error or not result or DIVERGED in result or not self._judged(result):
            self.runs.tell(trial, state=TrialState.FAIL)
        else:
            self._tell(trial, result)
        if self._repeats:
            self._repeats.end(self.study, trial)

    def _tell(self, trial: Trial, result: dict[str, Any]) -> None:
        for bound in self._bounds:
            trial.set_constraint(str(bound), bound.excess(result))
        if result.get(COMPLETED):
            values = [result[metric] for metric in self._metrics]
            self.runs.tell(trial, values, state=TrialState.COMPLETE)
        else:
            report_score(trial, result[self.metric], result[TRAINING_ITERATION])
            self.runs.tell(trial, state=TrialState.PRUNED)

    def _judged(self, result: dict[str, Any]) -> bool:
        bounded = all(math.isfinite(bound.excess(result)) for bound in self._bounds)
        return bounded and all(_scored(result, metric) for metric in self._metrics)

    def save(self, checkpoint_path: str) -> None:
        """Write the study, the running trials, the rungs and what there is of several seeds."""
        repeats = self._repeats.state if self._repeats else None
        Path(checkpoint_path).write_bytes(pickle.dumps((self.study, self._running, self.rungs, repeats)))

    def restore(self, checkpoint_path: str) -> None:
        """Read back what :meth:`save` wrote; only a sweep's own folder is read."""
        self.study, self._running, self.rungs, repeats = pickle.loads(Path(checkpoint_path).read_bytes())
        if self._repeats:
            self._repeats.state = repeats


def _keep(trial: Trial, result: dict[str, Any]) -> None:
    """Keep a result's scores and sums with the study's trial, for the table; those of a repeated round are known."""
    known = trial.user_attrs
    if BEGUN in result:
        times = [result.get(TRAINING_ITERATION, 0), result[BEGUN], result[ENDED]]
        if times not in known.get(TIMES, []):  # Tune tells a trial's last result twice where it stops it
            trial.set_user_attr(TIMES, [*known.get(TIMES, []), times])
    if result.get(TRAINING_ITERATION, 0) < known.get(_ROUND, 0):
        return
    trial.set_user_attr(_ROUND, result.get(TRAINING_ITERATION, 0))
    if COUNTED_ROUND in result:
        trial.set_user_attr(COUNTED_ROUND, result[COUNTED_ROUND])
    for kind in (SCORES, SPENT):
        told = {name.removeprefix(kind): value for name, value in result.items() if name.startswith(kind)}
        trial.set_user_attr(kind, {**known.get(kind, {}), **told})


def _scored(result: dict[str, Any], metric: str) -> bool:
    return metric in result and math.isfinite(result[metric])


class SweepSearch(SearchGenerator):
    """What Tune asks for trials: the searcher, with a bound on its trials at a time and a state saved in whole files.

    Tune uploads the folder of its state in the background, also while the next state is written; a temporary file
    there would be gone when the upload comes to it, which then fails with a traceback.

    Attributes:
        optuna: The searcher itself.
        keep_in: Where the whole state is kept; None if Tune's upload is to bring it to its storage. Of the class,
            because Tune goes on with a pickled search, and the folder may have been moved since.
    """

    keep_in: ClassVar[Path | None] = None

    def __init__(self, space: SearchSpace, max_concurrent: int) -> None:
        """Search a space with so many trials at a time, one at least."""
        self.optuna = OptunaSearcher(space)
        super().__init__(ConcurrencyLimiter(self.optuna, max_concurrent=max_concurrent))
        self._num_trials, self._max_concurrent = space.num_trials, max_concurrent

    def restore_from_dir(self, dirpath: str) -> None:
        """Go on with a saved state, and with as many trials as the space says now: there may be more than then."""
        super().restore_from_dir(dirpath)
        self._total_samples, self.searcher.max_concurrent = self._num_trials, self._max_concurrent
        self._finished = False  # a grid, or seeds, that have no more say so again

    def save_to_dir(self, dirpath: str, session_str: str) -> None:
        """Write the state beside the folder, move its files in, and keep all that is there as a whole."""
        folder = Path(dirpath).parent / f"searcher.{own_mark()}{PARTIAL}"  # goes with the next start, should this die
        remove_all(folder)
        folder.mkdir()
        try:
            super().save_to_dir(str(folder), session_str)
            for file in folder.iterdir():
                os.replace(file, Path(dirpath) / file.name)
        finally:
            remove_all(folder)
        keep_state(Path(dirpath), self.keep_in or Path(dirpath))  # Tune has just written what else there is
