"""The table of a sweep's trials on a terminal, best first."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from fedray.evaluation import Scores, whole_of
from fedray.experiment.judging import judging_of
from fedray.experiment.pages import headlines
from fedray.experiment.self_tested import blind_words
from fedray.results.files import BEST, PARAMS, PARETO
from fedray.sweep.pareto import FRONT
from fedray.sweep.results import EXCESS, QUALITY, RUN_ID, SweepResult
from fedray.sweep.searcher import SECONDS, STEPS
from fedray.sweep.space import Goal, SearchSpace
from fedray.tasks import task_of


def print_trials(console: Console, result: SweepResult, spent: float | None = None) -> None:
    """Print the trials, best first, below what real tiles score; start points are marked.

    Where scores and searched values do not fit beside each other, they are two tables.

    Args:
        console: Where to.
        result: Of the sweep.
        spent: Epsilon of all trials together, where they have differential privacy.
    """
    space, trials = result.space, result.trials.to_dict("records")
    title = f"{space.name}: {', '.join(_goal_words(goal, result.out) for goal in space.goals)}"
    beside = judging_of(space.fixed).BESIDE
    scores, values = list(_score_columns(result, private=spent is not None)), _value_columns(space)
    whole = _table(title, [_NAME, *scores, *values], trials, result.floor, beside=beside)
    if console.measure(whole, options=console.options.update(width=_ENDLESS)).maximum <= console.width:
        console.print(whole)
    else:
        console.print(_table(title, [_NAME, *scores], trials, result.floor, padding=0, beside=beside))
        console.print(_table("searched values", [_NAME, *values], trials))
    for quality in result.trials.get(QUALITY, pd.Series(dtype=str)).unique():
        console.print(quality, soft_wrap=True)
    if spent is not None:
        console.print(
            f"Privacy spent by all trials together, failed and stopped ones too: epsilon {spent:.4g} at delta "
            f"{space.fixed.privacy.delta:g}", soft_wrap=True,
        )  # fmt: skip
    if len(space.goals) > 1:
        first = f"{BEST} is the first row's, the best by {space.goal.metric}; {PARETO}/ has all of them."
        console.print(f"Front: no complete trial is better in one goal and worse in none. {first}", soft_wrap=True)
    if not result.keeps_constraints:
        kept = ", ".join(space.constraints)
        console.print(f"No complete trial keeps the constraints ({kept}); the first comes closest.", soft_wrap=True)
    if any(result.trials["start_point"]):
        console.print("* start point")


_ENDLESS = 10_000  # columns: a table is measured as wide as it would like to be


@dataclass(frozen=True)
class _Column:
    """A column of the printed table: its heading, the text of a trial's row, and the score whose floor it shows."""

    heading: str
    text: Callable[[dict[Any, Any]], str]
    score: str = ""
    justify: Literal["left", "right"] = "right"


_NAME = _Column("trial", lambda row: f"{row['trial']}{' *' if row['start_point'] else ''}", justify="left")


def _score_columns(result: SweepResult, *, private: bool) -> Iterator[_Column]:
    goal = result.space.goal.metric
    yield _Column("outcome", _outcome, justify="left")
    yield _Column("rounds", lambda row: f"{row['rounds']:g}")
    yield _Column("score", _number("score", ".4g"), goal)
    for heading, name in headlines(map(str, result.trials)).items():
        if name != goal:
            yield _Column(heading, _number(name, ".3g"), name)
    asked = [*(other.metric for other in result.space.goals), *(bound.metric for bound in result.space.bounds)]
    for metric in dict.fromkeys(asked):
        if metric != goal and metric not in headlines(map(str, result.trials)).values():
            yield _Column(_short_name(metric), _number(metric, ".3g"), metric)
    if FRONT in result.trials:
        yield _Column("front", lambda row: "yes" if row[FRONT] else "")
    if private:
        yield _Column("epsilon", _number("epsilon", ".3g"))
    for heading, name in {"secs": SECONDS, "steps": task_of(result.space.fixed).COUNTED + STEPS}.items():
        if name in result.trials:
            yield _Column(heading, _number(name, ".0f"))
    if RUN_ID in result.trials:
        yield _Column("run", lambda row: str(row[RUN_ID])[:8], justify="left")


def _value_columns(space: SearchSpace) -> list[_Column]:
    # Headings of several lines keep the table narrow.
    headings = {path: path.split(".")[-1].replace("_", "\n") for path in space.search}
    return [_Column(heading, partial(_shown, path)) for path, heading in headings.items()]


def _table(
    title: str,
    columns: Sequence[_Column],
    trials: list[dict[Any, Any]],
    floor: Scores | None = None,
    padding: int = 1,
    beside: tuple[str, str] = ("real tiles", "(floor)"),
) -> Table:
    """Lay out trials; with the floor as a row above them, where it is given and known."""
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        padding=(0, padding),
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        table.add_column(column.heading, justify=column.justify, no_wrap=True)
    if floor:  # in the columns after the trial and its outcome
        scores = (f"{floor[column.score]:.4g}" if column.score in floor else "" for column in columns[2:])
        table.add_row(*beside, *scores)
    for row in trials:
        table.add_row(*(column.text(row) for column in columns))
    return table


def _goal_words(goal: Goal, out: Path) -> str:
    told = ["lower is better" if goal.mode == "min" else "higher is better", blind_words(out, goal.metric)]
    return f"{goal.metric} ({'; '.join(filter(None, told))})"


def _outcome(row: dict[Any, Any]) -> str:
    return "infeasible" if row["outcome"] == "complete" and row.get(EXCESS, 0.0) > 0 else str(row["outcome"])


def _short_name(metric: str) -> str:
    """Shorten a score's name to its kind and, below it, its label or domain."""
    kind, of_part = metric.partition("/")[0], metric.removeprefix(whole_of(metric))
    return "\n".join(filter(None, (kind, of_part.rpartition("/")[2])))


def _number(name: str, form: str) -> Callable[[dict[Any, Any]], str]:
    return lambda row: "" if pd.isna(row[name]) else format(row[name], form)


def _shown(path: str, row: dict[Any, Any]) -> str:
    """Say a trial's value; nothing of a path that it does not have."""
    value = row[path]
    if PARAMS in row and pd.isna(value):
        return "null" if path in json.loads(row[PARAMS]) else ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
