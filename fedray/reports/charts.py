"""Charts as PNG, in one look: few lines, words instead of legends where they fit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.reports.pictures import figure_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, RULE = "#1f2933", "#6b6b6b", "#d9d4c8"
ACCENT, REAL, ALARM = "#1d4e89", "#3f7d4e", "#b3261e"
COLOURS = ("#1d4e89", "#d1495b", "#3f7d4e", "#e09f3e", "#6a4c93", "#00798c", "#8d5a3a", "#7a7f87", "#b56576", "#5f8b4c")
"""Of labels and curves; they come again where there are more."""
_STYLES = ("-", "--", "-.", ":")


def colour(place: int) -> str:
    """Return the colour of a label, or of a curve."""
    return COLOURS[place % len(COLOURS)]


def draw_power(power: pd.DataFrame) -> bytes:
    """Draw how often copies are found, a panel a number of tiles.

    Args:
        power: Columns copies, tiles, share planted, flagged.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    numbers = sorted(set(power["tiles"]))[-3:]
    figure = Figure(figsize=(2.6 + 2.6 * len(numbers), 2.9), layout="constrained")
    panels = figure.subplots(1, len(numbers), squeeze=False, sharey=True)[0]
    for axis, n in zip(panels, numbers, strict=True):
        planted = power[(power["tiles"] == n) & (power["copies"] != "none")]
        for place, (way, rows) in enumerate(planted.groupby("copies", sort=False)):
            style = {"color": colour(place), "linestyle": _STYLES[place % len(_STYLES)], "linewidth": 1.6}
            axis.plot(100 * rows["share planted"], 100 * rows["flagged"], marker="o", markersize=3, label=way, **style)
        alarms = 100 * power[(power["tiles"] == n) & (power["copies"] == "none")]["flagged"].iloc[0]
        axis.axhline(alarms, color=MUTED, linewidth=0.8)
        axis.set_xscale("log")
        shares = [1, 2, 5, 10, 20, 50]
        axis.set_xticks(shares, [f"{share} %" for share in shares], fontsize=8)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_title(f"{n} tiles", fontsize=9, loc="left", color=INK)
        axis.set_xlabel("tiles that are copies", fontsize=8, color=MUTED)
        plain(axis)
    panels[0].set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"], fontsize=8)
    panels[0].set_ylabel("draws flagged", fontsize=8, color=MUTED)
    panels[0].set_ylim(-3, 103)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside right center")
    return figure_png(figure)


def draw_dots(rows: Sequence[str], ours: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
              limit: float, words: str) -> bytes:  # fmt: skip
    """Draw a dot a row beside the range of real tiles, and where an alarm begins.

    Args:
        rows: Their names.
        ours: The dots, [row].
        low: Lower ends of the ranges, [row].
        high: Upper ends, [row].
        limit: Below it is an alarm.
        words: Of the axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 0.9 + 0.3 * len(rows)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(rows))[::-1]
    axis.barh(places, high - low, left=low, height=0.42, color=REAL, alpha=0.28, label="real tiles")
    axis.axvline(limit, color=ALARM, linewidth=1, linestyle="--", label="alarm below")
    axis.scatter(ours, places, s=26, color=[ALARM if dot < limit else ACCENT for dot in ours], zorder=3,
                 label="generated tiles")  # fmt: skip
    axis.set_yticks(places, rows, fontsize=8, parse_math=False)
    axis.set_xlim(0, 1.05 * max(1.0, float(ours.max()), float(high.max())))
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(words, fontsize=8, color=MUTED)
    axis.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    plain(axis)
    return figure_png(figure)


def draw_ladder(values: Mapping[str, float], real: tuple[float, float, float], ours: float, words: str) -> bytes:
    """Draw what destroyed real tiles score, best first, the range of real ones, and where generated ones stand.

    Args:
        values: Of destroyed sets, by name.
        real: What real tiles score, and the ends of its interval.
        ours: What generated ones score.
        words: Of the axis.
    """
    from matplotlib.figure import Figure

    rows = sorted([*values.items(), ("real tiles", real[0]), ("generated tiles", ours)], key=lambda row: row[1])
    figure = Figure(figsize=(7.4, 0.8 + 0.23 * len(rows)), layout="constrained")
    axis = figure.subplots()
    if np.isfinite(real).all() and real[2] > real[1]:
        axis.axvspan(real[1], real[2], color=REAL, alpha=0.16, linewidth=0)
        # Around zero the axis is linear, as far as real tiles scatter: kernel distances of real tiles fall below it.
        axis.set_xscale("symlog", linthresh=10.0 ** round(np.log10((real[2] - real[1]) / 2)), subs=(2, 5))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axis.axvline(ours, color=ACCENT, linewidth=0.8)
    marked = {"real tiles": REAL, "generated tiles": ACCENT}
    for place, (name, value) in enumerate(reversed(rows)):
        axis.plot(value, place, "o", color=marked.get(name, MUTED), markersize=7 if name in marked else 4)
        axis.annotate(f"{value:.3g}", (value, place), (8, -3), textcoords="offset points", fontsize=7.5, color=INK)
    axis.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)], fontsize=8, parse_math=False)
    for text in axis.get_yticklabels():
        if text.get_text() in marked:
            text.set_color(marked[text.get_text()])
            text.set_fontweight("bold")
    axis.tick_params(axis="x", which="both", labelsize=8)
    axis.margins(x=0.12)
    axis.set_xlabel(words, fontsize=8, color=MUTED, parse_math=False)
    plain(axis)
    return figure_png(figure)


def draw_map(
    points: NDArray[np.float32], labels: NDArray[np.int64], made: NDArray[np.bool_], names: Sequence[str]
) -> bytes:
    """Draw a map of tiles twice: real ones in colour on the left, generated ones on the right, the others in grey.

    Args:
        points: [n, 2].
        labels: [n].
        made: Which of them were generated, [n].
        names: Of the labels.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(9.4, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, shown, words in zip(panels, (~made, made), ("real, held out", "generated"), strict=True):
        axis.scatter(*points[~shown].T, s=5, color=RULE, linewidths=0)
        axis.scatter(*points[shown].T, s=11, color=[colour(label) for label in labels[shown]], linewidths=0)
        axis.set_title(f"{words} ({int(shown.sum())})", fontsize=9, loc="left", color=INK)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_color(RULE)
    present = np.unique(labels).tolist()
    marks = [Line2D([], [], marker="o", linestyle="", markersize=5, color=colour(label)) for label in present]
    legend = figure.legend(marks, [""] * len(marks), fontsize=8, frameon=False, loc="outside lower center",
                           ncols=min(len(present), 8))  # fmt: skip
    for text, label in zip(legend.get_texts(), present, strict=True):
        text.set_parse_math(False)
        text.set_text(names[label])
    return figure_png(figure)


def plain(axis: "Axes") -> None:
    """Leave of an axis what is read: two light spines, light lines across."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(RULE)
    axis.tick_params(color=RULE)
    axis.grid(axis="x", color=RULE, linewidth=0.4)
    axis.set_axisbelow(True)
