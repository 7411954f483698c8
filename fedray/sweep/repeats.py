"""Configurations that run with several seeds: which run is whose, and what all of them say together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from fedray.sweep.by_round import report_score, scores_by_round
from fedray.sweep.dimensions import Value
from fedray.sweep.space import Goal, SearchSpace

SEED = "seed"
"""Config path of a run's seed, and its key in the run."""
CONFIGURATION, START_POINT = "configuration", "start-point"
"""Keys of a run: the number of its configuration in the study; whether the space names that as a start point, which is
a key of the configuration too."""

_State = tuple[optuna.Study, dict[int, Trial], list[tuple[int, int]]]


class Repeats:
    """Begins the runs of one configuration after the other, and tells the study what came of all of its runs.

    A configuration is complete when all of its runs are. One that was stopped early, or has failed, takes the others
    with it: they would say how good a lost configuration is. Without early stopping all of them run to their end.

    Attributes:
        runs: A study of all runs: each is a trial with the values of its configuration.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Begin with no configuration."""
        self._space = space
        self._seeds = [space.fixed.seed + number for number in range(space.seeds)]
        directions = [direction_of(goal) for goal in space.goals]
        sampler = optuna.samplers.RandomSampler()  # never asked: every run has its values
        self.runs = optuna.create_study(study_name=f"{space.name}: runs", sampler=sampler, directions=directions)
        self._open: dict[int, Trial] = {}
        self._waiting: list[tuple[int, int]] = []  # number and seed of runs of the newest one

    @property
    def state(self) -> _State:
        """What has to be kept: all but the space, which may be another one when a sweep goes on."""
        return self.runs, self._open, self._waiting

    @state.setter
    def state(self, state: _State) -> None:
        self.runs, self._open, self._waiting = state

    def begin(self, trial_id: str, ask: Callable[[], Trial]) -> Trial | None:
        """Begin a run.

        Args:
            trial_id: Of Tune.
            ask: Asks the study for another configuration, whose values are drawn.

        Returns:
            None where there is no room for all seeds of another configuration.
        """
        if not self._waiting:
            if len(self.runs.get_trials(deepcopy=False)) + len(self._seeds) > self._space.num_trials:
                return None
            configuration = ask()
            configuration.set_user_attr("trial_id", trial_id)
            self._open[configuration.number] = configuration
            self._waiting = [(configuration.number, seed) for seed in self._seeds]
        number, seed = self._waiting.pop(0)
        return self._begun(self._open[number], trial_id, seed)

    def _begun(self, configuration: Trial, trial_id: str, seed: int) -> Trial:
        self.runs.enqueue_trial(configuration.params)
        run = self.runs.ask()
        for path in configuration.params:
            self._space.search[path].suggest(run, path)
        told = {"trial_id": trial_id, SEED: seed, CONFIGURATION: configuration.number}
        for key, value in {**told, START_POINT: configuration.user_attrs.get(START_POINT, False)}.items():
            run.set_user_attr(key, value)
        return run

    def is_lost(self, run: Trial) -> bool:
        """Say whether the configuration of a run cannot become complete any more, and is to end."""
        return self._space.early_stopping is not None and any(
            other.state in (TrialState.PRUNED, TrialState.FAIL) for other in self._runs_of(run)
        )

    def end(self, study: optuna.Study, run: Trial) -> None:
        """Note that a run has ended, and the configuration with its last one.

        Args:
            study: Of the configurations.
            run: As the study of runs was told.
        """
        number, runs = run.user_attrs[CONFIGURATION], self._runs_of(run)
        if self.is_lost(run):
            self._waiting = [(other, seed) for other, seed in self._waiting if other != number]
        if all(each.state.is_finished() for each in runs) and number not in dict(self._waiting):
            self._tell(study, self._open.pop(number), runs)

    def _tell(self, study: optuna.Study, configuration: Trial, runs: Sequence[FrozenTrial]) -> None:
        for text, excess in mean_excess(runs).items():
            configuration.set_constraint(text, excess)
        states = {run.state for run in runs}
        worst = next(state for state in (TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE) if state in states)
        if worst is TrialState.COMPLETE:
            study.tell(configuration, judged(runs, self._space.goals, self._space.spread_weight), state=worst)
            return
        for round_index, score in means_by_round([scores_by_round(run) for run in runs]).items():
            report_score(configuration, score, round_index)
        study.tell(configuration, state=worst)

    def _runs_of(self, run: Trial) -> list[FrozenTrial]:
        number = run.user_attrs[CONFIGURATION]
        return [each for each in self.runs.get_trials(deepcopy=False) if each.user_attrs[CONFIGURATION] == number]


def direction_of(goal: Goal) -> StudyDirection:
    """Return a goal's direction in Optuna's terms."""
    return StudyDirection.MINIMIZE if goal.mode == "min" else StudyDirection.MAXIMIZE


def judged(runs: Iterable[FrozenTrial], goals: Sequence[Goal], spread_weight: float) -> list[float]:
    """Return a configuration's score for every goal: the mean over its runs, and so much of their spread against it.

    Args:
        runs: All complete.
        goals: Of the sweep.
        spread_weight: Standard deviations (n - 1 in the denominator) that the mean is made worse by, >= 0.
    """
    values = np.array([run.values for run in runs], np.float64)
    worse = np.array([1.0 if goal.mode == "min" else -1.0 for goal in goals])
    told: list[float] = (values.mean(0) + spread_weight * worse * values.std(0, ddof=1)).tolist()
    return told


def mean_excess(runs: Iterable[FrozenTrial]) -> dict[str, float]:
    """Return how far the mean scores of a configuration are beyond its constraints, by their text.

    Args:
        runs: Those without scores of the constraints have no say.
    """
    known = [run.constraints for run in runs if run.constraints]
    return {text: float(np.mean([each[text] for each in known])) for text in (known[0] if known else ())}


def means_by_round(told: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean score after every round that some of the runs were scored at."""
    rounds = sorted({round_index for run in told for round_index in run})
    return {index: float(np.mean([run[index] for run in told if index in run])) for index in rounds}


def values_of(run: FrozenTrial | Trial) -> dict[str, Value]:
    """Return the values with which a run began: its seed too, where there are several."""
    params: dict[str, Any] = dict(run.params)
    return params | ({SEED: run.user_attrs[SEED]} if SEED in run.user_attrs else {})
