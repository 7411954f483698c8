"""Pictures of tiles as PNG: tiles in rows, and pairs beside each other."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from fedray.evaluation.extractors.base import reduce_to
from fedray.reports.base import Tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHITE = 255
_GAP = 2
_MOST_SHOWN = 128
"""Pixels of a tile on a page at the most: nobody sees more of so many, and the page stays small."""
_FEWEST_SHOWN = 64
"""Pixels of a tile on a page at the least: smaller ones are enlarged by a whole number, each pixel to a square."""
_PAIR_COLUMNS = 4


class Pair(NamedTuple):
    """Two tiles beside each other."""

    left: Tiles
    """[H, W, C]."""
    right: Tiles
    """[H, W, C]."""
    words: str
    """Below them."""


def reduced(tiles: Tiles, edge: int) -> Tiles:
    """Reduce tiles, uint8 [n, H, W, C], to an edge in pixels, antialiased; smaller ones stay as they are."""
    if max(tiles.shape[1:3]) <= edge:
        return tiles
    small = reduce_to(torch.tensor(tiles).permute(0, 3, 1, 2).float(), edge)
    return small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def in_rows(tiles: Tiles, columns: int) -> bytes:
    """Draw tiles, uint8 [n, H, W, C], n >= 1, in rows of so many, as PNG."""
    shown = _as_shown(tiles)
    num, height, width = shown.shape[:3]
    rows = -(-num // columns)
    canvas = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), _WHITE, np.uint8)
    for place, tile in enumerate(shown):
        top, left = place // columns * (height + _GAP), place % columns * (width + _GAP)
        canvas[top : top + height, left : left + width] = tile
    return as_png(canvas)


def draw_pairs(pairs: Sequence[Pair], left: str, right: str) -> bytes:
    """Draw pairs of tiles as PNG.

    Args:
        pairs: At least one.
        left: What stands on the left of each.
        right: On the right.
    """
    from matplotlib.figure import Figure  # here: half a second

    tiles = _as_shown(np.stack([tile for pair in pairs for tile in (pair.left, pair.right)]))
    edge, above, below = tiles.shape[1], tiles.shape[1] // 5, tiles.shape[1] // 4
    gap, columns, rows = edge // 16, min(_PAIR_COLUMNS, len(pairs)), -(-len(pairs) // _PAIR_COLUMNS)
    width, height = 2 * edge + 5 * gap, edge + above + below
    canvas = np.full((rows * height, columns * width, 3), _WHITE, np.uint8)
    figure = Figure(figsize=(2.5 * columns, 2.5 * columns * canvas.shape[0] / canvas.shape[1]))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    words: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
    for place, pair in enumerate(pairs):
        top, start = place // columns * height, place % columns * width
        for side, said in enumerate((left, right)):
            begin = start + side * (edge + gap)
            canvas[top + above : top + above + edge, begin : begin + edge] = tiles[2 * place + side]
            axis.text(begin + edge / 2, top + 0.55 * above, said, fontsize=7, color="#6b6b6b", **words)
        axis.text(start + edge + gap / 2, top + above + edge + 0.45 * below, pair.words, fontsize=8, **words)
    axis.imshow(canvas, interpolation="nearest")
    axis.set_axis_off()
    return figure_png(figure)


def figure_png(figure: "Figure") -> bytes:
    """Draw a figure of matplotlib as PNG, sharp enough for print."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=180, metadata={"Software": None})
    return buffer.getvalue()


def as_png(pixels: Tiles) -> bytes:
    """Write pixels, uint8 [H, W, 3], as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _as_shown(tiles: Tiles) -> Tiles:
    """Bring tiles to a size in which they are seen, in three channels: grey ones thrice, of others the first three."""
    tiles = reduced(tiles, _MOST_SHOWN)
    scale = -(-_FEWEST_SHOWN // tiles.shape[1])
    channels = [0, 1, 2] if tiles.shape[-1] >= 3 else [0, 0, 0]
    return tiles[..., channels].repeat(scale, axis=1).repeat(scale, axis=2)
