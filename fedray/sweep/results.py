"""What a sweep leaves: a table of trials best first, the best configuration, a picture, and all of it as Parquet."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from fedray.config import ExperimentConfig, to_yaml
from fedray.evaluation import Scores
from fedray.federation import Releases, epsilon_of
from fedray.results.files import BEST, CONFIGURATIONS, FLOOR, PARAMS, PARETO, PARETO_PICTURE, RESULTS, SCORED_ROUND
from fedray.results.ledger import Ledger
from fedray.storage import parquet_bytes, picture_bytes, write_whole
from fedray.sweep.by_round import scores_by_round
from fedray.sweep.configurations import MEAN, configuration_table
from fedray.sweep.constraints import EXCESS
from fedray.sweep.pareto import FRONT, draw_front, on_front
from fedray.sweep.repeats import CONFIGURATION, SEED, START_POINT, values_of
from fedray.sweep.searcher import COUNTED_ROUND, SCORES, SPENT, OptunaSearcher
from fedray.sweep.space import SearchSpace
from fedray.tracking import Pages

PRIVACY_SPENT = "privacy/epsilon"
"""Metric of a sweep's run: epsilon of all its trials together."""

RUN_ID, QUALITY = "run_id", "extractor_quality"
"""Columns of a sweep's table: MLflow's id of each trial's run; how well an extractor that was trained on the store
tells its labels apart."""

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
    """A row a trial, best first: trial, number, outcome, rounds, score, scored_round, start_point, params, the searched
    paths; then, as far as they are known: excess, front, all scores of that round by name, seconds, generator-steps,
    run_id, and the same for all trials, as ``floor/`` and a score's name, what real tiles score in the generator's
    place; extractor_quality. Where trials are promoted, also the columns of
    :func:`fedray.sweep.promoted.with_promotions`."""
    out: Path
    """Folder with ``results.parquet``, ``best.yaml``, ``samples.png`` and ``sweep.yaml``."""
    pages: Pages = field(default_factory=dict)
    """Addresses of MLflow's pages on it; none where no tracking server runs."""

    @property
    def best(self) -> "pd.Series[Any]":
        """The best complete trial."""
        return self.trials.iloc[0]

    @property
    def keeps_constraints(self) -> bool:
        """Whether the best trial keeps all of them; otherwise it comes closest."""
        return not self.best.get(EXCESS, 0.0) > 0

    @property
    def floor(self) -> Scores:
        """What real tiles score in the generator's place, by name; empty where the store has too few for it."""
        names = [name for name in map(str, self.trials) if name.startswith(FLOOR)]
        return {name.removeprefix(FLOOR): float(self.trials[name].iloc[0]) for name in names}

    @property
    def best_config(self) -> ExperimentConfig:
        """Its configuration, with as many rounds as lead to the one that is scored."""
        return scored_config(self.space, self.best["number"], self.trials)


def scored_config(space: SearchSpace, number: int, trials: pd.DataFrame) -> ExperimentConfig:
    """Return the configuration of a trial by its number, with as many rounds as lead to the one that is scored."""
    row = trials[trials["number"] == number].iloc[0]
    rounds = {"federation.num_rounds": int(row[SCORED_ROUND])} if SCORED_ROUND in row else {}
    return space.trial_config({**trial_params(space, number, trials), **rounds})


def choice_note(space: SearchSpace) -> str:
    """Say what luck does to scores that are the best of several, and of how many."""
    rounds, every = space.fixed.federation.num_rounds, space.fixed.evaluation.every
    if space.score == "last" or (evaluated := math.ceil(rounds / every)) == 1:
        return ""
    return (
        f"Each score is the best of up to {evaluated} evaluated rounds (27/32: of round 27, of 32 done). Scores are "
        "noisy, and the best of many looks better than it is; score: last takes the last round's."
    )


def trial_table(space: SearchSpace, searcher: OptunaSearcher) -> pd.DataFrame:
    """Tabulate the study's trials: complete ones best first, then those stopped early, then the failed.

    With several goals those on the Pareto front come first, the best by the first goal before the others.
    Complete ones that break a constraint follow those that keep all, the least broken first. Among those stopped early
    the ones that came further come first: scores compare at equal rounds alone.
    """
    rows = [_row(space, trial) for trial in searcher.study.trials if "trial_id" in trial.user_attrs]
    order = list(OUTCOMES.values())
    sign = 1 if space.goal.mode == "min" else -1

    def place(row: dict[str, Any]) -> tuple[float, ...]:
        score = math.inf if row["score"] is None else sign * row["score"]
        broken = row.get(EXCESS, 0.0) if row["outcome"] == OUTCOMES[TrialState.COMPLETE] else 0.0
        return order.index(row["outcome"]), broken, not row.get(FRONT, True), -row["rounds"], score

    if len(space.goals) > 1:
        _mark_front(space, rows)
    rows.sort(key=place)
    return pd.DataFrame(rows if space.seeds == 1 else _runs(space, searcher, rows))


def _runs(space: SearchSpace, searcher: OptunaSearcher, configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the runs of each configuration, in the order in which they began, with what is judged by all of them."""
    rows = [_row(space, run) for run in searcher.runs.trials]
    of_all = [{name: each[name] for name in (FRONT, EXCESS) if name in each} for each in configurations]
    return [
        row | own
        for configuration, own in zip(configurations, of_all, strict=True)
        for row in rows
        if row[CONFIGURATION] == configuration["number"]
    ]


def _mark_front(space: SearchSpace, rows: list[dict[str, Any]]) -> None:
    """Say of each trial whether it is on the Pareto front of those that are complete and keep all constraints."""
    kept = [row for row in rows if row["outcome"] == OUTCOMES[TrialState.COMPLETE] and not row.get(EXCESS, 0.0) > 0]
    values = np.array([[row[goal.metric] for goal in space.goals] for row in kept], np.float64)
    front = {row["number"] for row, best in zip(kept, on_front(values, space.goals), strict=True) if best}
    for row in rows:
        row[FRONT] = row["number"] in front


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
    row = trials[trials["number"] == number].iloc[0]
    if PARAMS in row:
        return dict(json.loads(row[PARAMS]))
    return {path: _plain(row[path]) for path in space.search}


def write_results(result: SweepResult) -> list[str]:
    """Write the table and the best trial's configuration, and of several goals the front; returns the files' names."""
    space, trials, out = result.space, result.trials, result.out
    write_whole(out / RESULTS, parquet_bytes(trials))
    write_whole(out / BEST, to_yaml(result.best_config).encode())
    written = [RESULTS, BEST]
    if space.seeds > 1:
        write_whole(out / CONFIGURATIONS, parquet_bytes(configuration_table(space, trials)))
        written.append(CONFIGURATIONS)
    if len(space.goals) > 1:
        _write_front(result)
        written.append(PARETO_PICTURE)
    return written


def _write_front(result: SweepResult) -> None:
    space, trials, out = result.space, result.trials, result.out
    if space.seeds > 1:
        trials = trials.drop_duplicates(CONFIGURATION)
        means = configuration_table(space, result.trials)
        drawn = trials.assign(
            outcome=means["outcome"].to_numpy(),
            **{goal.metric: means[MEAN + goal.metric].to_numpy() for goal in space.goals},
        )
    else:
        drawn = trials
    write_whole(out / PARETO_PICTURE, picture_bytes(draw_front(space, drawn), dpi=120))
    (out / PARETO).mkdir(exist_ok=True)
    for row in trials[trials[FRONT]].to_dict("records"):
        config = scored_config(space, row["number"], trials)
        write_whole(out / PARETO / f"{row['trial']}.yaml", to_yaml(config).encode())


def _row(space: SearchSpace, trial: FrozenTrial) -> dict[str, Any]:
    by_round = scores_by_round(trial)
    last = max(by_round, default=0)
    score = trial.values[0] if trial.values else by_round.get(last)
    rounds = space.fixed.federation.num_rounds if trial.state is TrialState.COMPLETE else last
    return {
        "trial": trial.user_attrs["trial_id"],
        "number": trial.number,
        "outcome": OUTCOMES[trial.state],
        "rounds": rounds,
        "score": score,
        SCORED_ROUND: trial.user_attrs.get(COUNTED_ROUND, rounds if score is not None else None),
        **{name: trial.user_attrs[name] for name in (CONFIGURATION, SEED) if name in trial.user_attrs},
        "start_point": bool(trial.user_attrs.get(START_POINT)),
        PARAMS: json.dumps(values_of(trial)),
        **dict.fromkeys(space.search),
        **trial.params,
        **_excess(space, trial),
        **{goal.metric: value for goal, value in zip(space.goals, trial.values or (), strict=False)},
        **trial.user_attrs.get(SCORES, {}),
        **trial.user_attrs.get(SPENT, {}),
    }


def _excess(space: SearchSpace, trial: FrozenTrial) -> dict[str, float]:
    if len(trial.constraints) < len(space.constraints) or not space.constraints:
        return {}
    return {EXCESS: sum(max(0.0, excess) for excess in trial.constraints.values())}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
