"""The Pareto front of a sweep with several goals: which trials are on it, and its picture."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.reports.charts import ACCENT, MUTED
from fedray.sweep.space import Goal, SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRONT = "front"
"""Column of a table of several goals: whether a trial is on the Pareto front."""


def on_front(values: NDArray[np.float64], goals: Sequence[Goal]) -> NDArray[np.bool_]:
    """Say which trials no other one dominates: is better in one goal, and worse in none.

    Args:
        values: Scores, [trial, goal].
        goals: In the same order.

    Returns:
        [trial]; of equal ones, all are on it or none.
    """
    signs = np.array([1.0 if goal.mode == "min" else -1.0 for goal in goals])
    losses = values.reshape(-1, len(goals)) * signs
    worse = losses[:, None] >= losses[None]  # [trial, other, goal]
    dominated = worse.all(2) & (losses[:, None] > losses[None]).any(2)
    front: NDArray[np.bool_] = ~dominated.any(1)
    return front


def draw_front(space: SearchSpace, trials: pd.DataFrame) -> "Figure":
    """Draw complete trials, a panel a pair of goals; those on the front are joined and named.

    Args:
        space: With several goals.
        trials: The table, with the column :data:`FRONT`.
    """
    from matplotlib.figure import Figure

    pairs = list(combinations(space.goals, 2))
    figure = Figure(figsize=(5.0 * len(pairs), 4.2), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    complete = trials[trials["outcome"] == "complete"]
    for axis, pair in zip(panels, pairs, strict=True):
        _draw_pair(axis, complete, pair, joined=len(pairs) == 1)
    figure.suptitle(f"{space.name}: complete trials; named ones are on the Pareto front", fontsize=10, parse_math=False)
    return figure


def _draw_pair(axis: Any, trials: pd.DataFrame, pair: Sequence[Goal], *, joined: bool) -> None:
    one, other = (goal.metric for goal in pair)
    best = trials[trials[FRONT]].sort_values(one)
    rest = trials[~trials[FRONT]]
    axis.scatter(rest[one], rest[other], s=22, facecolors="none", edgecolors=MUTED)
    # Of more goals than two a front is no line in any pair of them.
    axis.plot(best[one], best[other], color=ACCENT, marker="o", markersize=5, linewidth=1.0 if joined else 0.0)
    for row in best.to_dict("records"):
        axis.annotate(
            str(row["trial"]), (row[one], row[other]), (5, 5), textcoords="offset points", fontsize=7, parse_math=False
        )
    for goal, label in zip(pair, (axis.set_xlabel, axis.set_ylabel), strict=True):
        better = "lower" if goal.mode == "min" else "higher"
        label(f"{goal.metric} ({better} is better)", fontsize=8, parse_math=False)
    axis.spines[["top", "right"]].set_visible(False)
