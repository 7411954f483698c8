"""The picture of a classifier: which label is taken for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # imported where it draws: matplotlib costs half a second
    from matplotlib.figure import Figure

MAX_WRITTEN = 25
"""Labels up to which every cell has its numbers; more are shown by colour alone."""


def draw_confusion(counts: NDArray[np.int64], label_names: Sequence[str], title: str) -> "Figure":
    """Draw a confusion matrix, a row for each true label: colours are shares of the row, numbers are tiles.

    The figure belongs to no window and no pyplot state: save it with ``figure.savefig(path)``.

    Args:
        counts: [label, label] int64, tiles by true label (row) and answer (column).
        label_names: By label.
        title: Of the picture.
    """
    from matplotlib.figure import Figure

    num = len(label_names)
    edge = min(16.0, max(3.4, 1.6 + 0.8 * num if num <= MAX_WRITTEN else 1.6 + 0.3 * num))
    figure = Figure(figsize=(edge + 1.2, edge), layout="constrained")
    axes = figure.subplots()
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(1, totals)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    if num <= MAX_WRITTEN:
        for row, column in np.ndindex(num, num):
            color = "white" if shares[row, column] > 0.5 else "black"
            share = f"\n{shares[row, column]:.0%}" if totals[row, 0] else ""
            text = f"{counts[row, column]:,}{share}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    names = [f"{name} (no tile)" if not total else name for name, total in zip(label_names, totals[:, 0], strict=True)]
    axes.set_xticks(range(num), list(label_names), rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(num), names, parse_math=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    axes.set_title(title, fontsize=10, parse_math=False)
    figure.colorbar(image, ax=axes, label="share of the label's tiles", shrink=0.8)
    return figure
