"""The table of configurations that ran with several seeds: mean, spread and interval, a row each."""

from typing import Any

import numpy as np
import pandas as pd

from fedray.results.files import PARAMS
from fedray.results.statistics import estimate
from fedray.sweep.constraints import EXCESS
from fedray.sweep.pareto import FRONT
from fedray.sweep.repeats import CONFIGURATION
from fedray.sweep.space import SearchSpace

MEAN, SD, LOW, HIGH = "mean/", "sd/", "low/", "high/"
"""Beginnings of columns, before the name of a goal's score: its mean over the seeds, their standard deviation (n - 1 in
the denominator), and the ends of Student's interval of 95 % for the mean."""
SEEDS = "seeds"
"""Column: runs that are complete."""
_FROM_WORST = ("failed", "unfinished", "pruned", "complete")


def configuration_table(space: SearchSpace, trials: pd.DataFrame) -> pd.DataFrame:
    """Tabulate configurations, best first.

    Args:
        space: With several seeds.
        trials: A row a run, in the order of the configurations.

    Returns:
        Columns configuration, trial (the first of its runs), start_point, params, the searched paths, front where
        there are several goals, excess where there are constraints, outcome (as the worst run's), seeds, and for each
        goal those above: of a configuration that is not complete, no number, because the runs that are left would
        flatter it.
    """
    return pd.DataFrame([_row(space, runs) for _, runs in trials.groupby(CONFIGURATION, sort=False)])


def _row(space: SearchSpace, runs: pd.DataFrame) -> dict[str, Any]:
    first, found = runs.iloc[0], set(runs["outcome"])
    outcome = next(word for word in _FROM_WORST if word in found)
    kept = [
        name for name in (CONFIGURATION, "trial", "start_point", PARAMS, *space.search, FRONT, EXCESS) if name in runs
    ]
    row = {
        **{str(name): first[name] for name in kept},
        "outcome": outcome,
        SEEDS: (runs["outcome"] == "complete").sum(),
    }
    for goal in space.goals:
        row |= _estimated(goal.metric, runs if outcome == "complete" else runs[:0])
    return row


def _estimated(metric: str, runs: pd.DataFrame) -> dict[str, float]:
    names = (MEAN + metric, SD + metric, LOW + metric, HIGH + metric)
    if runs.empty:
        return dict.fromkeys(names, np.nan)
    scores = runs[metric].to_numpy(np.float64)
    found = estimate(scores.tolist())
    return dict(zip(names, (found.mean, scores.std(ddof=1), found.low, found.high), strict=True))
