"""What a sweep leaves: a table of trials best first, the best configuration, a picture, and all of it as Parquet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console
from rich.table import Table

from fedray.config import ExperimentConfig, save_config
from fedray.experiment.ledger import Ledger
from fedray.federation import Releases, epsilon_of
from fedray.sweep.searcher import OptunaSearcher
from fedray.sweep.space import SearchSpace

PRIVACY_SPENT = "privacy/epsilon"
"""Metric of a sweep's run: epsilon of all its trials together."""

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
    """A row a trial, best first: trial, number, outcome, rounds, score, start_point, then the searched paths."""
    out: Path
    """Folder with ``results.parquet``, ``best.yaml``, ``samples.png`` and ``sweep.yaml``."""
    compare_url: str | None = None
    """Page of MLflow that compares the best trials' runs; None where no tracking server runs."""

    @property
    def best(self) -> "pd.Series[Any]":
        """The best complete trial."""
        return self.trials.iloc[0]

    @property
    def best_config(self) -> ExperimentConfig:
        """Its configuration."""
        return self.space.trial_config(trial_params(self.space, self.best["number"], self.trials))


def trial_table(space: SearchSpace, searcher: OptunaSearcher) -> pd.DataFrame:
    """Tabulate the study's trials: complete ones best first, then those stopped early, then the failed."""
    rows = [_row(space, trial) for trial in searcher.study.trials if "trial_id" in trial.user_attrs]
    order = list(OUTCOMES.values())
    sign = 1 if space.goal.mode == "min" else -1
    rows.sort(key=lambda row: (order.index(row["outcome"]), sign * row["score"] if row["score"] is not None else 0))
    return pd.DataFrame(rows)


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
    """Print the trials, best first; start points are marked.

    Args:
        console: Where to.
        result: Of the sweep.
        spent: Epsilon of all trials together, where they have differential privacy.
    """
    space, private = result.space, spent is not None
    better = "lower" if space.goal.mode == "min" else "higher"
    table = Table(
        title=f"{space.name}: {space.goal.metric} ({better} is better)",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )
    for name in ("trial", "outcome", "rounds", "score"):
        table.add_column(name, justify="left" if name in ("trial", "outcome") else "right", no_wrap=True)
    if private:
        table.add_column("epsilon", justify="right", no_wrap=True)
    for path in space.search:  # a heading of several lines, so that the table fits into 80 columns
        table.add_column(path.split(".")[-1].replace("_", "\n"), justify="right", no_wrap=True)
    for row in result.trials.to_dict("records"):
        mark = " *" if row["start_point"] else ""
        score = "" if pd.isna(row["score"]) else f"{row['score']:.4g}"
        values = [_shown(row[path]) for path in space.search]
        epsilon = [f"{row['epsilon']:.3g}"] if private else []
        table.add_row(f"{row['trial']}{mark}", row["outcome"], f"{row['rounds']:g}", score, *epsilon, *values)
    console.print(table)
    if private:
        console.print(
            f"Privacy spent by all trials together, failed and stopped ones too: epsilon {spent:.4g} at delta "
            f"{space.fixed.privacy.delta:g}", soft_wrap=True,
        )  # fmt: skip
    if any(result.trials["start_point"]):
        console.print("* start point")


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
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
