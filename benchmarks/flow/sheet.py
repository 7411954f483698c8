"""Rows of tiles with words beside them."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_GAP, _SCALE = 2, 2
_CHARACTERS = 22
"""Of a line beside a row."""
_INCH = 0.011
"""Of an enlarged pixel."""


def save_sheet(
    path: Path, rows: Sequence[tuple[str, NDArray[np.uint8]]], title: str, columns: Sequence[str] = ()
) -> None:
    """Draw a row of tiles [n, H, W, 3] uint8 for each of some words, n the same in all.

    Args:
        path: The PNG file to write.
        rows: From top to bottom.
        title: Stands above them.
        columns: Words above each tile of the first row; none where empty.
    """
    num, height, width = rows[0][1].shape[:3]
    step = width * _SCALE + _GAP
    size = (num * step * _INCH + 2.4, len(rows) * (height * _SCALE + 6) * _INCH + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    for axes, (words, tiles) in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows, strict=True):
        axes.imshow(_strip(tiles), interpolation="nearest")
        axes.set_ylabel(
            fill(words, _CHARACTERS, break_on_hyphens=False),
            rotation=0,
            ha="right",
            va="center",
            fontsize=8,
            parse_math=False,
        )
        axes.set_yticks([])
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
    if columns:
        top = figure.axes[0]
        top.xaxis.tick_top()
        top.set_xticks([place * step + width * _SCALE / 2 for place in range(num)], list(columns), fontsize=8)
        top.tick_params(length=0)
    figure.suptitle(title, fontsize=9, parse_math=False)
    figure.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.05)


def _strip(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    enlarged = tiles.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)
    framed = np.pad(enlarged, ((0, 0), (0, 0), (0, _GAP), (0, 0)), constant_values=255)
    return np.concatenate(list(framed), axis=1)
