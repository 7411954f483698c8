"""All charts of a sweep's report, each with its caption."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from fedray.reports.base import Figure
from fedray.results.files import FLOOR
from fedray.sweep.by_round import scores_by_round
from fedray.sweep.promoted import as_searched
from fedray.sweep.report.charts import SURFACE_FROM, draw_contour, draw_importance, draw_slices
from fedray.sweep.report.course import draw_curves, draw_history, draw_timeline, draw_where
from fedray.sweep.report.importance import Compared, compared, num_best
from fedray.sweep.report.spent import Round, Spent, rounds_of, since_start, spent
from fedray.sweep.report.values import Values, in_sight, values_of
from fedray.sweep.report.words import by_compared, compared_words, ending, order_of
from fedray.sweep.space import SearchSpace


@dataclass(frozen=True, eq=False)
class Swept:
    """What a report is made from.

    Attributes:
        space: What was searched.
        trials: The sweep's table, best first.
        study: Of Optuna: values, scores of the rounds, times.
        importance: As of :func:`fedray.sweep.report.importance.importances`, of all trials that compare.
    """

    space: SearchSpace
    trials: pd.DataFrame
    study: optuna.Study
    importance: pd.DataFrame

    @cached_property
    def compared(self) -> Compared:
        """The most trials that compare."""
        return compared(self.study)[0]

    @cached_property
    def order(self) -> list[str]:
        """The searched paths, those that mattered most first."""
        groups = by_compared(self.importance)
        ranked = order_of(groups[0]) if groups else []
        return [*ranked, *(path for path in self.space.search if path not in ranked)]

    @cached_property
    def rounds(self) -> list[Round]:
        """Of all trials, earliest first; none where their times were not recorded."""
        return rounds_of(self.study)

    @cached_property
    def spent(self) -> Spent | None:
        """What it took."""
        return spent(self.rounds, self.trials)

    @property
    def floor(self) -> float:
        """What real tiles score by the goal in the place of generated ones; NaN where that is not known."""
        name = FLOOR + self.space.goal.metric
        return float(self.trials[name].iloc[0]) if name in self.trials else np.nan

    @property
    def words(self) -> str:
        """Of an axis of scores."""
        return f"{self.space.goal.metric} ({'lower' if self.space.goal.mode == 'min' else 'higher'} is better)"


def figures_of(swept: Swept) -> dict[str, Figure]:
    """Draw all charts that the sweep has enough for, by their names."""
    return {figure.name: figure for part in (_mattered, _over_values, _course, _time) for figure in part(swept)}


def _mattered(swept: Swept) -> Iterator[Figure]:
    for place, rows in enumerate(by_compared(swept.importance)):
        name, trials = ("importance", "importance-more")[min(place, 1)], int(rows["trials"].iloc[0])
        yield Figure(
            name,
            draw_importance(rows, order_of(rows)),
            f"Importance for {compared_words(rows)}. Line: 90 % of 40 draws of the trials with replacement. Grey: what "
            "the same method finds in 95 of 100 cases where scores are dealt to the trials at random; a dot within it "
            f"says nothing. PED-ANOVA compares the best {num_best(trials)} with all.",
            f"Importance of {rows['parameter'].nunique()} searched values by two methods, with intervals",
            real_tiles=False,
        )


def _over_values(swept: Swept) -> Iterator[Figure]:
    of = swept.compared
    if len(of.trials) < 2:
        return
    values = {path: _values(swept, path) for path in swept.order}
    drawn = [each for each in values.values() if each is not None]
    whole = [trial.state is TrialState.COMPLETE for trial in of.trials]
    hollow = "" if all(whole) else " Hollow: stopped before the last round."
    if drawn:
        yield Figure(
            "slices",
            draw_slices(drawn, of.scores, whole, in_sight(swept.floor, of.scores), swept.words),
            f"{of.words[0].upper()}{of.words[1:]} of {len(of.trials)} trials over each searched value, the most "
            f"important first.{hollow} Several values move at once: a slope may be another's.",
            f"Scores over {len(drawn)} searched values",
            real_tiles=False,
        )
    if len(drawn) >= 2:
        png, surface = draw_contour(drawn[0], drawn[1], of.scores, swept.words)
        between = (
            "The surface is linear between trials, and ends with the outermost."
            if surface
            else f"No surface is drawn through fewer than {SURFACE_FROM} trials, nor over choices."
        )
        yield Figure(
            "contour",
            png,
            f"{of.words[0].upper()}{of.words[1:]} over the two values that mattered most, a dot a trial. {between}",
            f"Scores over {drawn[0].name} and {drawn[1].name}",
            real_tiles=False,
        )


def _values(swept: Swept, path: str) -> Values | None:
    """Place a parameter's values; None of one that not all of these trials have."""
    if not all(path in trial.params for trial in swept.compared.trials):
        return None
    return values_of(path, swept.space.search[path], [trial.params[path] for trial in swept.compared.trials])


def _course(swept: Swept) -> Iterator[Figure]:
    final = swept.trials[swept.trials["outcome"] == "complete"]["score"].tolist()
    if final:
        floor = in_sight(swept.floor, final)
        yield Figure(
            "history",
            draw_history(as_searched(swept.space, swept.trials), swept.space.goal.mode, floor, swept.words),
            f"Final scores of the {len(final)} trials that ran all their rounds, in the order in which they began. The "
            "best of many noisy scores looks better than it is: run it again with other "
            f"seeds.{_far(swept.floor, floor)}",
            "Final scores by trial, and the best until then",
            real_tiles=False,
        )
    outcomes = dict(zip(swept.trials["trial"].astype(str), swept.trials["outcome"], strict=True))
    curves = _curves(swept)
    if curves:
        floor = in_sight(swept.floor, [score for curve in curves.values() for score in curve.values()])
        yield Figure(
            "curves",
            draw_curves(curves, outcomes, floor, swept.words),
            f"{_SCORES_BY_ROUND[swept.space.score]}. Dotted: rounds after which early stopping ended "
            f"trials.{_far(swept.floor, floor)}",
            f"Scores of {len(curves)} trials by round",
            real_tiles=False,
        )


_SCORES_BY_ROUND = {"best": "Scores by round, the best until each", "last": "Scores by round"}


def _far(floor: float, shown: float) -> str:
    """Say what real tiles score where that is known, and too far off to be drawn."""
    return f" Real tiles score {floor:.3g}, which is out of sight." if np.isfinite(floor) and np.isnan(shown) else ""


def _curves(swept: Swept) -> dict[str, dict[int, float]]:
    """Return the scores by round of each trial of the table that has some."""
    searched, goal = as_searched(swept.space, swept.trials).to_dict("records"), swept.space.goal.metric
    rows = {row["number"]: row for row in searched}
    curves = {}
    for trial in swept.study.get_trials(deepcopy=False):
        if trial.number not in rows:
            continue
        row, curve = rows[trial.number], scores_by_round(trial)
        if trial.state is TrialState.COMPLETE and goal in row:  # of its last round Optuna is told the end alone
            curve[int(row["rounds"])] = float(row[goal])
        if curve:
            curves[str(row["trial"])] = curve
    return curves


def _time(swept: Swept) -> Iterator[Figure]:
    if not swept.rounds:
        return
    rows = swept.trials.sort_values("number").to_dict("records")
    outcomes = {str(row["trial"]): str(row["outcome"]) for row in rows}
    endings = {str(row["trial"]): ending(row) for row in rows}
    rounds, paused = since_start(swept.rounds)
    left_out = f" {paused / 60:.0f} minutes in which no round ran are left out." if paused else ""
    yield Figure(
        "timeline",
        draw_timeline([each for each in rounds if each.trial in outcomes], endings, outcomes),
        f"Which trial ran when, a piece a round, in the order in which they began.{left_out}",
        f"Time line of {len(rows)} trials",
        real_tiles=False,
    )  # fmt: skip
    if swept.spent is not None:
        yield Figure(
            "where",
            draw_where(swept.spent),
            "Where the time of all lanes went. Other: pictures, tracking, the way there and back. Waiting: between "
            "rounds and trials, and lanes without a trial.",
            "Shares of time for training, scoring, other and waiting",
            real_tiles=False,
        )
