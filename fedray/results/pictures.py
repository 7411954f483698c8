"""The picture of a generator: real tiles above generated ones, a block a label, enlarged so that small tiles are seen.

Drawn after every evaluated round, hence with Pillow: a figure of matplotlib takes half a second. A classifier has its
confusion matrix instead.
"""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fedray.data import KnownTiles, TileStore
from fedray.evaluation.confusion import draw_confusion
from fedray.randomness import stream
from fedray.storage import picture_bytes, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]

Preview = NDArray[np.integer]
"""What there is to look at: tiles, uint8 [label, tile, H, W, C], of the same noise every round, so that the rounds can
be compared; of a classifier its confusion matrix, int64 [label, label]."""


class Bounds(NamedTuple):
    """Pixels that the tiles of a picture take at the most; two tiles of one label are shown whatever their size."""

    width: int
    height: int


WHOLE = Bounds(1024, 2048)
"""Of a picture that stands alone."""
BESIDE_OTHERS = Bounds(544, 1000)
"""Of one in MLflow's grid, which puts pictures beside each other in their own size."""

_MAX_SCALE = 8
_SMALLEST_SHOWN = 64  # px of an enlarged tile: below that nobody sees a nucleus, so fewer labels are shown
_MARGIN, _LINE, _GAP = 84, 20, 2  # px: of the words beside the rows, of a line of text, between tiles
_WHITE, _BLACK = 255, (0, 0, 0)


def draw_preview(
    store: TileStore, preview: Preview, title: str, bounds: Bounds = WHOLE, draw_tiles: "DrawTiles | None" = None
) -> Pixels:
    """Draw what an evaluation has to look at: generated tiles, or a confusion matrix.

    Other arguments and result as of :func:`draw_samples`, which draws the tiles unless another function is to.
    """
    if preview.ndim == 2:
        return figure_pixels(draw_confusion(preview.astype(np.int64), store.label_names, title))
    return (draw_tiles or draw_samples)(store, preview.astype(np.uint8), title, bounds)


def figure_pixels(figure: "Figure") -> Pixels:
    """Draw a figure of matplotlib, [height, width, 3] uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def draw_samples(store: TileStore, preview: Pixels, title: str, bounds: Bounds = WHOLE) -> Pixels:
    """Draw real training tiles above generated ones, a block a label, enlarged by a whole number.

    Where the labels are too many for the height, the first are shown, and the title says how many.

    Args:
        store: Where the real tiles are.
        preview: Generated tiles [label, tile, H, W, 3] uint8.
        title: Of the picture.
        bounds: Of its size.

    Returns:
        [height, width, 3] uint8.
    """

    def rows(label: int, columns: int) -> list[_Row]:
        return [("real", _real_tiles(store, label, columns)), ("generated", preview[label, :columns])]

    return _draw_blocks(store, preview, title, bounds, 2, rows)


def draw_generated(store: KnownTiles, preview: Pixels, title: str, bounds: Bounds = WHOLE) -> Pixels:
    """Draw generated tiles alone: for who must not see real ones. Arguments and result as of :func:`draw_samples`."""
    return _draw_blocks(
        store, preview, title, bounds, 1, lambda label, columns: [("generated", preview[label, :columns])]
    )


DrawTiles = Callable[[TileStore, Pixels, str, Bounds], Pixels]
"""Draws generated tiles, beside real ones or alone."""


def drawing(real_tiles: bool) -> DrawTiles:
    """Return what draws generated tiles: beside real ones where these may be seen."""
    return draw_samples if real_tiles else draw_generated


def save_samples(
    path: Path, store: TileStore, preview: Preview, title: str, draw_tiles: DrawTiles = draw_samples
) -> None:
    """Write :func:`draw_preview` as PNG."""
    write_whole(path, picture_bytes(Image.fromarray(draw_preview(store, preview, title, draw_tiles=draw_tiles))))


_Row = tuple[str, Pixels]
"""A word, and the tiles beside it, uint8 [column, H, W, 3]."""


def _draw_blocks(
    store: KnownTiles,
    preview: Pixels,
    title: str,
    bounds: Bounds,
    num_rows: int,
    rows_of: Callable[[int, int], Sequence[_Row]],
) -> Pixels:
    """Draw a block a label, each of so many rows; ``rows_of`` is given the label and the columns."""
    num_labels, num_tiles, height, width, _ = preview.shape
    columns = min(num_tiles, max(2, bounds.width // (width + _GAP)))
    least = _block_height(height, max(1, -(-_SMALLEST_SHOWN // height)), num_rows)
    shown = min(num_labels, max(1, bounds.height // least))
    scale = _largest_scale(preview.shape[2:4], columns, shown, bounds, num_rows)
    block = _block_height(height, scale, num_rows)
    canvas = np.full((_LINE + shown * block, _MARGIN + columns * (width * scale + _GAP), 3), _WHITE, np.uint8)
    texts = [(0, 0, title if shown == num_labels else f"{title} ({shown} of {num_labels} labels)")]
    for label in range(shown):
        top = _LINE + label * block
        texts.append((0, top, store.label_names[label]))
        for number, (kind, tiles) in enumerate(rows_of(label, columns)):
            begin = top + _LINE + number * (height * scale + _GAP)
            texts.append((0, begin + (height * scale - _LINE) // 2, kind))
            _place(canvas, tiles, scale, begin)
    return _write(canvas, texts)


def _block_height(tile_height: int, scale: int, num_rows: int) -> int:
    return _LINE + num_rows * (tile_height * scale + _GAP)


def _largest_scale(size: tuple[int, ...], columns: int, num_labels: int, bounds: Bounds, num_rows: int) -> int:
    height, width = size
    fitting = [
        scale
        for scale in range(1, _MAX_SCALE + 1)
        if columns * (width * scale + _GAP) <= bounds.width + columns * _GAP
        and num_labels * _block_height(height, scale, num_rows) <= bounds.height
    ]
    return max(fitting, default=1)


def _place(canvas: Pixels, tiles: Pixels, scale: int, top: int) -> None:
    """Copy a row of tiles [N, H, W, 3] into the picture, each pixel as a square of ``scale``."""
    for column, tile in enumerate(tiles):
        enlarged = tile.repeat(scale, axis=0).repeat(scale, axis=1)
        left = _MARGIN + column * (enlarged.shape[1] + _GAP)
        canvas[top : top + enlarged.shape[0], left : left + enlarged.shape[1]] = enlarged


def _write(canvas: Pixels, texts: list[tuple[int, int, str]]) -> Pixels:
    """Write one-line texts at (left, top) into a picture; what is longer than its line ends with an ellipsis."""
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for left, top, text in texts:
        draw.text((left + 4, top + 2), _fitted(" ".join(text.split()), picture.width - 8), _BLACK, _font())
    return np.asarray(picture)


def _fitted(text: str, width: float) -> str:
    if _font().getlength(text) <= width:
        return text
    while text and _font().getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """Matplotlib's DejaVu Sans: Pillow's own font has no letters beyond Latin ones. matplotlib is not imported."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.submodule_search_locations, "matplotlib is a dependency"
    return ImageFont.truetype(
        str(Path(found.submodule_search_locations[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")), 13
    )


def _real_tiles(store: TileStore, label: int, count: int) -> Pixels:
    """Return training tiles of a label, the same ones every time; none where it has none."""
    candidates = store.indices("train")
    candidates = candidates[store.labels[candidates] == label]
    chosen = stream(0, "preview", label).permutation(candidates)
    return store.tiles(np.resize(chosen, count if len(chosen) else 0))
