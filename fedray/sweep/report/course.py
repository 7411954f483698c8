"""Charts of how a sweep went: the best score so far, the scores by round, which trial ran when, where time went."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fedray.reports.charts import ACCENT, ALARM, INK, MUTED, REAL, RULE, plain
from fedray.reports.pictures import figure_png
from fedray.sweep.report.spent import Round, Spent
from fedray.sweep.report.values import score_axis

if TYPE_CHECKING:
    pass

COLOURS = {"complete": ACCENT, "pruned": "#8d99a6", "failed": ALARM, "unfinished": RULE}
"""Of trials, by how they ended."""
_PARTS = {"training": ACCENT, "scoring": REAL, "other": "#e09f3e", "waiting": RULE}


def draw_history(trials: pd.DataFrame, mode: str, floor: float, words: str) -> bytes:
    """Draw the final score of each trial in the order in which they began, and the best until then.

    Args:
        trials: The sweep's table.
        mode: Whether ``min`` or ``max`` is good.
        floor: What real tiles score; NaN where that is not known.
        words: Of the axis of scores.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    done = trials[trials["outcome"] == "complete"].sort_values("number")
    figure = Figure(figsize=(9.4, 3.0), layout="constrained")
    axis = figure.subplots()
    numbers, scores = done["number"].to_numpy(), done["score"].to_numpy(np.float64)
    best = np.minimum.accumulate(scores) if mode == "min" else np.maximum.accumulate(scores)
    axis.step(numbers, best, where="post", color=ACCENT, linewidth=1.4, label="best until then")
    started = done["start_point"].to_numpy(np.bool_)
    for some, mark, label in ((~started, "o", "suggested"), (started, "*", "start point")):
        if some.any():
            axis.scatter(
                numbers[some], scores[some], marker=mark, s=36 if mark == "o" else 90, color=INK, label=label, zorder=3
            )
    if np.isfinite(floor):
        axis.axhline(floor, color=REAL, linewidth=1, linestyle="--", label="real tiles")
    axis.set_xlabel("trial, in the order in which they began", fontsize=8, color=MUTED)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlim(-0.5, trials["number"].max() + 0.5)
    axis.tick_params(axis="x", labelsize=7.5)
    score_axis(axis, [*scores, floor], words)
    axis.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    plain(axis)
    return figure_png(figure)


def draw_curves(
    curves: Mapping[str, Mapping[int, float]], outcomes: Mapping[str, str], floor: float, words: str
) -> bytes:
    """Draw the scores of each trial by its rounds, and where trials were stopped.

    Args:
        curves: Scores by round, by the trial.
        outcomes: How trials ended.
        floor: What real tiles score; NaN where that is not known.
        words: Of the axis of scores.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.4, 3.4), layout="constrained")
    axis = figure.subplots()
    named = set[str]()
    for trial, scores in curves.items():
        outcome, rounds = outcomes[trial], sorted(scores)
        label = None if outcome in named else outcome
        named.add(outcome)
        axis.plot(
            rounds,
            [scores[i] for i in rounds],
            color=COLOURS[outcome],
            linewidth=1.2,
            marker="o",
            markersize=2.5,
            label=label,
        )
    for stop in sorted({max(scores) for trial, scores in curves.items() if outcomes[trial] == "pruned"}):
        axis.axvline(stop, color=MUTED, linewidth=0.8, linestyle=":")
    if np.isfinite(floor):
        axis.axhline(floor, color=REAL, linewidth=1, linestyle="--", label="real tiles")
    axis.set_xlabel("round", fontsize=8, color=MUTED)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.tick_params(axis="x", labelsize=7.5)
    score_axis(axis, [*(score for scores in curves.values() for score in scores.values()), floor], words)
    axis.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    plain(axis)
    return figure_png(figure)


def draw_timeline(rounds: Sequence[Round], endings: Mapping[str, str], outcomes: Mapping[str, str]) -> bytes:
    """Draw which trial ran when, a bar a round, and how each ended.

    Args:
        rounds: In seconds of the sweep, earliest first.
        endings: In words, by the trial, in the order from top to bottom.
        outcomes: How trials ended, by the trial.
    """
    from matplotlib.figure import Figure

    rows = [trial for trial in endings if any(each.trial == trial for each in rounds)]
    height = 0.24 if len(rows) <= 60 else 0.1
    figure = Figure(figsize=(9.4, 0.9 + height * len(rows)), layout="constrained")
    axis = figure.subplots()
    unit, per_unit = ("minutes", 60.0) if max(each.ended for each in rounds) < 7200 else ("hours", 3600.0)
    for place, trial in enumerate(reversed(rows)):
        spans = [
            (each.begun / per_unit, (each.ended - each.begun) / per_unit) for each in rounds if each.trial == trial
        ]
        axis.broken_barh(spans, (place - 0.36, 0.72), color=COLOURS[outcomes[trial]], edgecolor="white", linewidth=0.4)
        end = max(start + length for start, length in spans)
        axis.annotate(
            endings[trial], (end, place), (5, -3), textcoords="offset points", fontsize=7, color=INK, parse_math=False
        )
    axis.set_yticks(
        range(len(rows)), list(reversed(rows)) if len(rows) <= 60 else [""] * len(rows), fontsize=7.5, parse_math=False
    )
    axis.set_ylim(-0.7, len(rows) - 0.3)
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    axis.tick_params(axis="x", labelsize=7.5)
    axis.set_xlabel(f"{unit} since the first round", fontsize=8, color=MUTED)
    plain(axis)
    return figure_png(figure)


def draw_where(spent: Spent) -> bytes:
    """Draw where the time of all lanes went, as one bar."""
    from matplotlib.figure import Figure

    parts = {
        "training": spent.training_s,
        "scoring": spent.scoring_s,
        "other": spent.other_s,
        "waiting": spent.waiting_s,
    }
    total = sum(parts.values())
    figure = Figure(figsize=(9.4, 1.1), layout="constrained")
    axis = figure.subplots()
    left = 0.0
    for name, seconds in parts.items():
        share = 100.0 * seconds / total if total else 0.0
        axis.barh(0, share, left=left, height=0.6, color=_PARTS[name], label=f"{name} {share:.0f} %")
        left += share
    axis.set_yticks([])
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"], fontsize=7.5)
    axis.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(parts))
    plain(axis)
    return figure_png(figure)
