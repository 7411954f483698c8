"""What a sweep leaves: a table of trials best first, the best configuration, a picture, and all of it as Parquet."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console
from rich.table import Table

from fedray.config import ExperimentConfig, save_config
from fedray.evaluation import Scores
from fedray.experiment.ledger import Ledger
from fedray.experiment.pages import headlines
from fedray.experiment.self_tested import blind_words
from fedray.federation import Releases, epsilon_of
from fedray.sweep.searcher import GENERATOR_STEPS, SCORES, SECONDS, SPENT, OptunaSearcher
from fedray.sweep.space import SearchSpace
from fedray.tracking import Pages

PRIVACY_SPENT = "privacy/epsilon"
"""Metric of a sweep's run: epsilon of all its trials together."""

FLOOR, RUN_ID, QUALITY = "floor/", "run_id", "extractor_quality"
"""Columns of a sweep's table: beginnings of those that say what real tiles score; MLflow's id of each trial's run; how
well an extractor that was trained on the store tells its labels apart."""

OUTCOMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
}
"""How a trial ended, in the words of the tables; 'pruned' was stopped early, 'failed' diverged or raised an error."""


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep."""

    space: SearchSpace
    trials: pd.DataFrame
    """A row a trial, best first: trial, number, outcome, rounds, score, start_point, the searched paths; then, as far
    as they are known: all scores of its last evaluation by name, seconds, generator-steps, run_id, and the same for all
    trials, as ``floor/`` and a score's name, what real tiles score in the generator's place; extractor_quality."""
    out: Path
    """Folder with ``results.parquet``, ``best.yaml``, ``samples.png`` and ``sweep.yaml``."""
    pages: Pages = field(default_factory=dict)
    """Addresses of MLflow's pages on it; none where no tracking server runs."""

    @property
    def best(self) -> "pd.Series[Any]":
        """The best complete trial."""
        return self.trials.iloc[0]

    @property
    def floor(self) -> Scores:
        """What real tiles score in the generator's place, by name; empty where the store has too few for it."""
        names = [name for name in map(str, self.trials) if name.startswith(FLOOR)]
        return {name.removeprefix(FLOOR): float(self.trials[name].iloc[0]) for name in names}

    @property
    def best_config(self) -> ExperimentConfig:
        """Its configuration."""
        return self.space.trial_config(trial_params(self.space, self.best["number"], self.trials))


def trial_table(space: SearchSpace, searcher: OptunaSearcher) -> pd.DataFrame:
    """Tabulate the study's trials: complete ones best first, then those stopped early, then the failed.

    Among the latter those that came further come first: scores compare at equal rounds alone.
    """
    rows = [_row(space, trial) for trial in searcher.study.trials if "trial_id" in trial.user_attrs]
    order = list(OUTCOMES.values())
    sign = 1 if space.goal.mode == "min" else -1

    def place(row: dict[str, Any]) -> tuple[float, ...]:
        score = math.inf if row["score"] is None else sign * row["score"]
        return order.index(row["outcome"]), -row["rounds"], score

    rows.sort(key=place)
    return pd.DataFrame(rows)


def with_context(trials: pd.DataFrame, floor: Scores, run_ids: Sequence[str], quality: str = "") -> pd.DataFrame:
    """Add the columns ``run_id``, of MLflow, and ``floor/...``, what real tiles score in the generator's place.

    With an extractor that was trained on the store also ``extractor_quality``: how well it tells labels apart.
    """
    floors: dict[str, float] = {FLOOR + name: value for name, value in floor.items()}
    told = {QUALITY: quality} if quality else {}
    return trials.assign(**floors, **told).assign(run_id=list(run_ids))


def with_epsilon(trials: pd.DataFrame, space: SearchSpace, ledger: Ledger) -> pd.DataFrame:
    """Add a column ``epsilon``: what each trial has spent at the fixed ``privacy.delta``, in all its attempts."""
    releases = ledger.releases()
    spent = [epsilon_of([releases.get(str(trial), Releases())], space.fixed.privacy.delta) for trial in trials["trial"]]
    return trials.assign(epsilon=spent)


def trial_params(space: SearchSpace, number: int, trials: pd.DataFrame) -> dict[str, Any]:
    """Return the searched values of a trial by its number."""
    row = trials.set_index("number").loc[number]
    return {path: _plain(row[path]) for path in space.search}


def write_results(result: SweepResult) -> None:
    """Write ``results.parquet`` and ``best.yaml``."""
    result.trials.to_parquet(result.out / "results.parquet")
    save_config(result.best_config, result.out / "best.yaml")


def print_trials(console: Console, result: SweepResult, spent: float | None = None) -> None:
    """Print the trials, best first, below what real tiles score; start points are marked.

    Where scores and searched values do not fit beside each other, they are two tables.

    Args:
        console: Where to.
        result: Of the sweep.
        spent: Epsilon of all trials together, where they have differential privacy.
    """
    space, trials = result.space, result.trials.to_dict("records")
    better = "lower" if space.goal.mode == "min" else "higher"
    told = [f"{better} is better", blind_words(result.out, space.goal.metric)]
    title = f"{space.name}: {space.goal.metric} ({'; '.join(filter(None, told))})"
    classifies = space.fixed.task == "classification"
    beside = ("always the", "majority label") if classifies else ("real tiles", "(floor)")
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
    yield _Column("outcome", lambda row: str(row["outcome"]), justify="left")
    yield _Column("rounds", lambda row: f"{row['rounds']:g}")
    yield _Column("score", _number("score", ".4g"), goal)
    for heading, name in headlines(map(str, result.trials)).items():
        if name != goal:
            yield _Column(heading, _number(name, ".3g"), name)
    if private:
        yield _Column("epsilon", _number("epsilon", ".3g"))
    for heading, name in {"secs": SECONDS, "steps": GENERATOR_STEPS}.items():
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


def _number(name: str, form: str) -> Callable[[dict[Any, Any]], str]:
    return lambda row: "" if pd.isna(row[name]) else format(row[name], form)


def _row(space: SearchSpace, trial: FrozenTrial) -> dict[str, Any]:
    values: Sequence[float] = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    score = trial.value if trial.value is not None else (values[-1] if values else None)
    rounds = space.fixed.federation.num_rounds if trial.state is TrialState.COMPLETE else trial.last_step or 0
    return {
        "trial": trial.user_attrs["trial_id"],
        "number": trial.number,
        "outcome": OUTCOMES[trial.state],
        "rounds": rounds,
        "score": score,
        "start_point": "fixed_params" in trial.system_attrs,
        **trial.params,
        **trial.user_attrs.get(SCORES, {}),
        **trial.user_attrs.get(SPENT, {}),
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _shown(path: str, row: dict[Any, Any]) -> str:
    value = row[path]
    return f"{value:.3g}" if isinstance(value, float) else str(value)
