"""Bar charts on a logarithmic scale."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display is needed
import matplotlib.pyplot as plt

from benchmarks.tables import format_seconds

_COLORS = ("#0b6e99", "#d9822b", "#9aa5b1")


def draw_bars(durations: Mapping[str, Mapping[str, float]], title: str, path: Path) -> None:
    """Draw horizontal bars: a group for each case, in it a bar for each engine.

    Args:
        durations: Seconds by case and engine. A case may lack engines.
        title: Stands above the chart.
        path: The PNG file to write.
    """
    engines = list(dict.fromkeys(engine for group in durations.values() for engine in group))
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.85 * len(durations)), layout="constrained")
    height = 0.8 / len(engines)
    for index, engine in enumerate(engines):
        present = [(row, group[engine]) for row, group in enumerate(durations.values()) if engine in group]
        positions = [row + (index - (len(engines) - 1) / 2) * height for row, _ in present]
        seconds = [value for _, value in present]
        bars = axes.barh(positions, seconds, height=0.9 * height, color=_COLORS[index % len(_COLORS)], label=engine)
        axes.bar_label(bars, labels=[format_seconds(value) for value in seconds], padding=4, fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_yticks(range(len(durations)), list(durations))
    axes.invert_yaxis()  # the first case on top
    axes.set_xlabel("seconds (log scale), less is better")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11)
    figure.legend(loc="outside lower center", ncols=len(engines), frameon=False)
    figure.savefig(path, dpi=160)
    plt.close(figure)
