"""Charts of what was searched: how much each value mattered, and how scores lie over them."""

import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.reports.charts import ACCENT, INK, MUTED, REAL, RULE, plain
from fedray.reports.pictures import figure_png
from fedray.sweep.report.importance import FANOVA, METHODS, PED_ANOVA
from fedray.sweep.report.values import Values, is_wide, name_axis, score_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4  # of slices
SURFACE_FROM = 10
"""Trials from which on a surface is drawn between them."""
_AXES = {FANOVA: "share of the variance of the score", PED_ANOVA: "share of what sets the best trials apart"}


def draw_importance(rows: pd.DataFrame, order: Sequence[str]) -> bytes:
    """Draw the importance of each value with its interval, beside what chance reaches, a panel a method.

    Args:
        rows: Of the same trials, as of :func:`fedray.sweep.report.importance.importances`.
        order: Of the parameters, the most important first.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 1.3 + 0.34 * len(order)), layout="constrained")
    panels = figure.subplots(1, len(METHODS), sharey=True)
    for axis, method in zip(panels, METHODS, strict=True):
        of_method = {row["parameter"]: row for row in rows[rows["method"] == method].to_dict("records")}
        for place, name in enumerate(reversed(order)):
            if name in of_method:
                _importance_row(axis, place, of_method[name])
        axis.set_yticks(range(len(order)), [name.rpartition(".")[2] for name in reversed(order)], fontsize=8,
                        parse_math=False)  # fmt: skip
        axis.set_xlim(0, 1.02)
        axis.set_ylim(-0.6, len(order) - 0.4)
        axis.tick_params(axis="x", labelsize=8)
        axis.set_title(method, fontsize=9, loc="left", color=INK)
        axis.set_xlabel(_AXES[method], fontsize=8, color=MUTED)
        plain(axis)
    handles, words = panels[0].get_legend_handles_labels()
    named = dict(zip(words, handles, strict=True))
    figure.legend(named.values(), named.keys(), fontsize=7.5, frameon=False, loc="outside lower center", ncols=3)
    return figure_png(figure)


def _importance_row(axis: "Axes", place: int, row: Mapping[Hashable, Any]) -> None:
    axis.barh(place, row["chance"], height=0.5, color=MUTED, alpha=0.22, linewidth=0, label="what chance reaches")
    axis.plot([row["low"], row["high"]], [place, place], color=ACCENT, linewidth=1.4, label="90 % interval")
    axis.plot(row["importance"], place, "o", color=ACCENT, markersize=6, label="importance", zorder=3)


def draw_slices(
    values: Sequence[Values], scores: Sequence[float], whole: Sequence[bool], floor: float, words: str
) -> bytes:
    """Draw the scores over each searched value, a panel each.

    Args:
        values: Of the trials, a parameter each.
        scores: Of the trials.
        whole: Which of them ran all their rounds.
        floor: What real tiles score; NaN where that is not known.
        words: Of the axis of scores.
    """
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(values))
    lines = math.ceil(len(values) / columns)
    figure = Figure(figsize=(9.4 if columns > 2 else 3.2 * columns, 2.5 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    marks, heights = np.asarray(whole, np.bool_), np.asarray(scores, np.float64)
    for axis, of_one in zip(panels, values, strict=False):
        for some, face in ((marks, ACCENT), (~marks, "white")):
            axis.scatter(of_one.places[some], heights[some], s=22, facecolor=face, edgecolor=ACCENT, linewidth=1)
        name_axis(axis, of_one, "x")
        _floor_line(axis, floor)
        plain(axis)
    for place, axis in enumerate(panels):
        axis.set_visible(place < len(values))
        if place % columns == 0:
            score_axis(axis, [*scores, floor], words)
    return figure_png(figure)


def _floor_line(axis: "Axes", floor: float) -> None:
    if np.isfinite(floor):
        axis.axhline(floor, color=REAL, linewidth=1, linestyle="--", label="real tiles")


def draw_contour(x: Values, y: Values, scores: Sequence[float], words: str) -> tuple[bytes, bool]:
    """Draw the scores over two values: a dot a trial, and between many trials a surface.

    Args:
        x: One parameter's values.
        y: Another's.
        scores: Of the trials.
        words: Of the scores.

    Returns:
        The picture, and whether it has a surface: linear between trials, nothing beyond the outermost.
    """
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    heights = np.asarray(scores, np.float64)
    norm = (LogNorm if is_wide(scores) else Normalize)(float(heights.min()), float(heights.max()))
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axis = figure.subplots()
    numbers = x.choices is None and y.choices is None
    surface = numbers and len(scores) >= SURFACE_FROM and _surface(axis, x.places, y.places, heights, norm)
    style: dict[str, Any] = {"s": 44, "edgecolor": "white", "linewidth": 1.2, "zorder": 3}
    dots = axis.scatter(x.places, y.places, c=heights, cmap="viridis", norm=norm, **style)
    name_axis(axis, x, "x")
    name_axis(axis, y, "y")
    bar = figure.colorbar(dots, ax=axis)
    bar.set_label(words, fontsize=8, color=MUTED, parse_math=False)
    bar.ax.tick_params(which="both", labelsize=7.5)
    axis.spines[:].set_color(RULE)
    return figure_png(figure), surface


def _surface(
    axis: "Axes", x: NDArray[np.float64], y: NDArray[np.float64], heights: NDArray[np.float64], norm: Any
) -> bool:
    """Draw a surface through the trials; False where they lie on a line."""
    spans = np.ptp(x), np.ptp(y)
    if min(spans) == 0.0 or np.linalg.matrix_rank(np.stack([x - x[0], y - y[0]])) < 2:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of levels without a line
        levels = np.quantile(heights, np.linspace(0, 1, 9))
        axis.tricontourf(x, y, heights, levels=np.unique(levels), cmap="viridis", norm=norm, alpha=0.55)
    return True
