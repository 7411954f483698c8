"""Cutting: tiles of a slide, on several cores, in an order that does not depend on their number."""

from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fedray.data.parallel import in_order
from fedray.data.slides.grid import Grid
from fedray.data.slides.slide import Pixels, Region, Slide, SlideError

_LANCZOS_SUPPORT = 3
"""Pixels of the result by which Pillow's filter reaches beyond the rectangle that is made smaller."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One place of the grid, read."""

    x: int
    """Its left edge in pixels of level 0."""
    y: int
    tile: Pixels | SlideError
    """uint8 [size, size, 3], RGB, or why it cannot be read."""


def cut_tiles(slide: Slide, grid: Grid, executor: Executor, num_ahead: int) -> Generator[Cut, None, None]:
    """Cut the kept tiles of a slide. Close it, or use it up, before the slide is closed.

    A block of neighbouring tiles is one piece of work, so that what the file holds in one piece is decoded once.
    Threads: reading and resizing run without the interpreter's lock.

    Args:
        slide: The slide.
        grid: Its grid.
        executor: Cuts the blocks.
        num_ahead: Blocks that are cut ahead of the consumer: memory is bounded by them.

    Yields:
        Block by block in raster order, in a block again: the same for any executor.
    """

    def cut_block(places: list[tuple[int, int]]) -> list[Cut]:
        return [_cut(slide, grid, row, column) for row, column in places]

    with closing(in_order(executor, cut_block, grid.blocks(), num_ahead)) as blocks:
        for block in blocks:
            yield from block


def _cut(slide: Slide, grid: Grid, row: int, column: int) -> Cut:
    left, top = grid.corner(row, column)
    level = slide.levels[grid.reading.level]
    x = round(left * slide.levels[0].width / level.width)
    y = round(top * slide.levels[0].height / level.height)
    try:
        return Cut(x, y, _read_tile(slide, grid, left, top))
    except SlideError as error:
        return Cut(x, y, error)


def _read_tile(slide: Slide, grid: Grid, left: float, top: float) -> Pixels:
    """Read a rectangle that need not lie between pixels, and make it a tile."""
    reading, scanned = grid.reading, grid.scanned
    if reading.scale == (1.0, 1.0):
        return slide.read(reading.level, Region(round(left), round(top), reading.size, reading.size))
    # The filter looks beyond the edge of the tile, so that tiles fit together without a seam.
    reach_x, reach_y = (np.ceil(_LANCZOS_SUPPORT * max(1.0, scale)) for scale in reading.scale)
    first = max(scanned.left, int(left - reach_x))
    start = max(scanned.top, int(top - reach_y))
    end = min(scanned.left + scanned.width, int(np.ceil(left + reading.pitch[0] + reach_x)))
    bottom = min(scanned.top + scanned.height, int(np.ceil(top + reading.pitch[1] + reach_y)))
    around = Image.fromarray(slide.read(reading.level, Region(first, start, end - first, bottom - start)))
    right, lower = left + reading.pitch[0] - first, top + reading.pitch[1] - start
    box = (left - first, top - start, min(right, around.width), min(lower, around.height))
    return np.asarray(around.resize((reading.size, reading.size), Image.Resampling.LANCZOS, box=box))
