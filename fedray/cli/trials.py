"""The table of a sweep's trials on a terminal, best first."""

from collections.abc import Iterator

import pandas as pd
from rich.console import Console

from fedray.cli.columns import FRONT_COLUMN, NAME, OUTCOME, Column, number, rounds_of, table_of, title_of, value_columns
from fedray.cli.configurations import print_configurations
from fedray.evaluation import whole_of
from fedray.experiment.judging import judging_of
from fedray.experiment.pages import headlines
from fedray.results.files import BEST, PARETO
from fedray.sweep.promoted import promotion_lines
from fedray.sweep.results import QUALITY, RUN_ID, SweepResult, choice_note
from fedray.sweep.searcher import SECONDS, STEPS
from fedray.tasks import task_of


def print_trials(console: Console, result: SweepResult, spent: float | None = None) -> None:
    """Print the trials, best first, below what real tiles score; start points are marked.

    Where scores and searched values do not fit beside each other, they are two tables.

    Args:
        console: Where to.
        result: Of the sweep.
        spent: Epsilon of all trials together, where they have differential privacy.
    """
    space = result.space
    if space.seeds > 1:
        print_configurations(console, result)
    else:
        _print_each(console, result, private=spent is not None)
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
    for line in promotion_lines(result.trials):
        console.print(line)
    if note := choice_note(space):
        console.print(note)
    if any(result.trials["start_point"]):
        console.print("* start point")


def _print_each(console: Console, result: SweepResult, *, private: bool) -> None:
    space, trials = result.space, result.trials.to_dict("records")
    title = title_of(result)
    beside = judging_of(space.fixed).BESIDE
    scores, values = list(_score_columns(result, private=private)), value_columns(space)
    whole = table_of(title, [NAME, *scores, *values], trials, result.floor, beside=beside)
    if console.measure(whole, options=console.options.update(width=_ENDLESS)).maximum <= console.width:
        console.print(whole)
    else:
        console.print(table_of(title, [NAME, *scores], trials, result.floor, padding=0, beside=beside))
        console.print(table_of("searched values", [NAME, *values], trials))


_ENDLESS = 10_000  # columns: a table is measured as wide as it would like to be


def _score_columns(result: SweepResult, *, private: bool) -> Iterator[Column]:
    goal = result.space.goal.metric
    yield OUTCOME
    yield Column("rounds", rounds_of)
    yield Column("score", number("score", ".4g"), goal)
    for heading, name in headlines(map(str, result.trials)).items():
        if name != goal:
            yield Column(heading, number(name, ".3g"), name)
    asked = [*(other.metric for other in result.space.goals), *(bound.metric for bound in result.space.bounds)]
    for metric in dict.fromkeys(asked):
        if metric != goal and metric not in headlines(map(str, result.trials)).values():
            yield Column(_short_name(metric), number(metric, ".3g"), metric)
    if len(result.space.goals) > 1:
        yield FRONT_COLUMN
    if private:
        yield Column("epsilon", number("epsilon", ".3g"))
    for heading, name in {"secs": SECONDS, "steps": task_of(result.space.fixed).COUNTED + STEPS}.items():
        if name in result.trials:
            yield Column(heading, number(name, ".0f"))
    if RUN_ID in result.trials:
        yield Column("run", lambda row: str(row[RUN_ID])[:8], justify="left")


def _short_name(metric: str) -> str:
    """Shorten a score's name to its kind and, below it, its label or domain."""
    kind, of_part = metric.partition("/")[0], metric.removeprefix(whole_of(metric))
    return "\n".join(filter(None, (kind, of_part.rpartition("/")[2])))
