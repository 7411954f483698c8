"""Tables of a sweep on a terminal: their columns, and what all of them show of a trial or configuration."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
from rich import box
from rich.table import Table

from fedray.evaluation import Scores
from fedray.experiment.self_tested import blind_words
from fedray.results.files import PARAMS, PROMOTED_ROUNDS, SCORED_ROUND
from fedray.sweep.constraints import EXCESS
from fedray.sweep.pareto import FRONT
from fedray.sweep.results import SweepResult
from fedray.sweep.space import SearchSpace


@dataclass(frozen=True)
class Column:
    """A column of a printed table: its heading, the text of a row, and the score whose floor it shows."""

    heading: str
    text: Callable[[dict[Any, Any]], str]
    score: str = ""
    justify: Literal["left", "right"] = "right"


def _name(row: dict[Any, Any]) -> str:
    return f"{row['trial']}{' *' if row['start_point'] else ''}"


def _outcome(row: dict[Any, Any]) -> str:
    if row.get(PROMOTED_ROUNDS, 0) > 0:
        return "promoted"
    return "infeasible" if row["outcome"] == "complete" and row.get(EXCESS, 0.0) > 0 else str(row["outcome"])


NAME, OUTCOME = Column("trial", _name, justify="left"), Column("outcome", _outcome, justify="left")
"""The first columns of every table."""
FRONT_COLUMN = Column(FRONT, lambda row: "yes" if row[FRONT] else "")


def title_of(result: SweepResult) -> str:
    """Name the sweep and its goals, which way is better, and what they do not see."""
    return f"{result.space.name}: {', '.join(_goal_words(result))}"


def _goal_words(result: SweepResult) -> list[str]:
    words = []
    for goal in result.space.goals:
        better = "lower" if goal.mode == "min" else "higher"
        told = filter(None, (f"{better} is better", blind_words(result.out, goal.metric)))
        words.append(f"{goal.metric} ({'; '.join(told)})")
    return words


def value_columns(space: SearchSpace) -> list[Column]:
    """Return a column for each searched path."""
    # Headings of several lines keep the table narrow.
    headings = {path: path.split(".")[-1].replace("_", "\n") for path in space.search}
    return [Column(heading, partial(_searched, path)) for path, heading in headings.items()]


def table_of(
    title: str,
    columns: Sequence[Column],
    rows: list[dict[Any, Any]],
    floor: Scores | None = None,
    padding: int = 1,
    beside: tuple[str, str] = ("real tiles", "(floor)"),
) -> Table:
    """Lay out rows; with the floor as a row above them, where it is given and known."""
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
    for row in rows:
        table.add_row(*(column.text(row) for column in columns))
    return table


def number(name: str, form: str) -> Callable[[dict[Any, Any]], str]:
    """Return what writes a number of a row; nothing where it is not known."""
    return lambda row: "" if pd.isna(row.get(name)) else format(row[name], form)


def rounds_of(row: dict[Any, Any]) -> str:
    """Say the rounds done, and before them the one that is scored where it is not the last."""
    scored = row.get(SCORED_ROUND)
    before = "" if scored is None or pd.isna(scored) or scored == row["rounds"] else f"{scored:g}/"
    return f"{before}{row['rounds']:g}"


def _searched(path: str, row: dict[Any, Any]) -> str:
    """Say a searched value; nothing of a path that the trial does not have."""
    value = row[path]
    if PARAMS in row and pd.isna(value):
        return "null" if path in json.loads(row[PARAMS]) else ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
