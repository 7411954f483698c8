"""The table of a sweep's configurations on a terminal, where each ran with several seeds."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd
from rich.console import Console

from fedray.cli.columns import FRONT_COLUMN, NAME, OUTCOME, Column, number, table_of, title_of, value_columns
from fedray.experiment.judging import judging_of
from fedray.results.files import RESULTS
from fedray.sweep.configurations import HIGH, LOW, MEAN, SD, SEEDS, configuration_table
from fedray.sweep.results import SweepResult


def print_configurations(console: Console, result: SweepResult) -> None:
    """Print a row a configuration, best first, below what real tiles score: mean, spread and interval of every goal."""
    space, rows = result.space, configuration_table(result.space, result.trials).to_dict("records")
    columns = [*_columns(result), *value_columns(space)]
    beside = judging_of(space.fixed).BESIDE
    console.print(table_of(title_of(result), columns, rows, result.floor, beside=beside))
    console.print(
        f"Means over {space.seeds} seeds, sd their standard deviation, and Student's interval of 95 % for the mean of "
        f"each configuration. The best of several looks better than it is. Trials are in {RESULTS}.", soft_wrap=True,
    )  # fmt: skip


def _columns(result: SweepResult) -> Iterator[Column]:
    goals = result.space.goals
    yield from (NAME, OUTCOME)
    yield Column(SEEDS, lambda row: str(row[SEEDS]))
    for goal in goals:
        kind = "" if len(goals) == 1 else f"{goal.metric.partition('/')[0]}\n"
        yield Column(f"{kind}mean", number(MEAN + goal.metric, ".4g"), goal.metric)
        yield Column(f"{kind}sd", number(SD + goal.metric, ".2g"))
        yield Column(f"{kind}95 %", partial(_interval, goal.metric))
    if len(goals) > 1:
        yield FRONT_COLUMN


def _interval(metric: str, row: dict[Any, Any]) -> str:
    low, high = row[LOW + metric], row[HIGH + metric]
    return "" if pd.isna(low) else f"{low:.4g} to {high:.4g}"
