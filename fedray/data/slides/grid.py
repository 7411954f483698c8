"""The grid: where tiles lie on a slide, which of them are tissue, and from which level they are read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedray.data.slides.mask import BLOCK_PX, Mask, Overview
from fedray.data.slides.slide import Region, Slide, SlideError

Lines = NDArray[np.float64]

SAME_RESOLUTION = 0.01
"""Relative difference up to which a level has the wanted resolution as it is, and nothing is resampled."""

MAX_ENLARGEMENT = 1.1
"""How much finer than the slide tiles may be asked for: scanners' 0.2526 um per pixel are meant by 0.25."""


@dataclass(frozen=True)
class Reading:
    """How tiles are read from a slide."""

    level: int
    scale: tuple[float, float]
    """Pixels of the level a pixel of a tile, horizontally and vertically; exactly 1 where nothing is resampled."""
    size: int
    """Edge of a tile in pixels."""

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance from one tile to the next in pixels of the level."""
        return self.size * self.scale[0], self.size * self.scale[1]


@dataclass(frozen=True, eq=False)
class Grid:
    """The tiles of a slide: a grid without gaps or overlaps from the corner of what was scanned."""

    reading: Reading
    scanned: Region
    """What was scanned, in pixels of the level."""
    kept: NDArray[np.bool_]
    """Which tiles are tissue, bool [rows, columns]."""
    num_margin: int
    """Places at the right and lower edge that the slide's end cuts, left out."""

    @property
    def num_kept(self) -> int:
        """Tiles that are cut."""
        return int(self.kept.sum())

    @property
    def num_background(self) -> int:
        """Whole tiles with too little tissue, left out."""
        return self.kept.size - self.num_kept

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """Return where a tile begins, in pixels of the level: left, top."""
        return self.scanned.left + column * self.reading.pitch[0], self.scanned.top + row * self.reading.pitch[1]

    def blocks(self) -> Iterator[list[tuple[int, int]]]:
        """Yield rows and columns of the kept tiles, those that lie in one block of about BLOCK_PX together."""
        rows, columns = (max(1, int(BLOCK_PX / pitch)) for pitch in self.reading.pitch[::-1])
        for top in range(0, self.kept.shape[0], rows):
            for left in range(0, self.kept.shape[1], columns):
                found = np.argwhere(self.kept[top : top + rows, left : left + columns])
                if len(found):
                    yield [(top + int(row), left + int(column)) for row, column in found]


def choose_reading(slide: Slide, size: int, resolution: float) -> Reading:
    """Choose the coarsest level that is at least as fine as wanted; what is finer is made smaller, antialiased.

    Args:
        slide: The slide.
        size: Edge of a tile in pixels.
        resolution: Wanted micrometres per pixel.

    Raises:
        SlideError: The slide is coarser than wanted: enlarged tiles would be blurred.
    """
    finest = max(slide.levels[0].mpp)
    if finest > resolution * MAX_ENLARGEMENT:
        raise SlideError(
            f"the slide {slide.path} has {finest:.4g} um per pixel, coarser than --resolution {resolution:g}: its "
            f"tiles would be enlarged and blurred; ask for {finest:.4g} or more, or leave the slide out"
        )
    fine = [i for i, level in enumerate(slide.levels) if max(level.mpp) <= resolution * (1 + SAME_RESOLUTION)]
    level = max(fine, key=lambda i: slide.levels[i].mpp) if fine else 0
    x, y = (resolution / mpp for mpp in slide.levels[level].mpp)
    if max(abs(x - 1), abs(y - 1)) <= SAME_RESOLUTION:
        x = y = 1.0
    return Reading(level, (x, y), size)


def plan_grid(slide: Slide, reading: Reading, overview: Overview, mask: Mask, tissue_share: float) -> Grid:
    """Lay the grid over a slide and keep the tiles of which at least ``tissue_share`` is tissue."""
    scanned = slide.scanned_at(reading.level)
    across, down = (edge / pitch for edge, pitch in zip(scanned[2:], reading.pitch, strict=True))
    rows, columns = int(down + 1e-9), int(across + 1e-9)
    ratio = [
        a / (b * overview.factor)
        for a, b in zip(slide.levels[reading.level].mpp, slide.levels[overview.level].mpp, strict=True)
    ]
    ys, xs = (
        np.arange(num + 1, dtype=np.float64) * reading.pitch[axis] * ratio[axis]
        for axis, num in ((1, rows), (0, columns))
    )
    shares = mean_over_cells(mask, ys, xs)
    num_places = int(np.ceil(down - 1e-9)) * int(np.ceil(across - 1e-9))
    return Grid(reading, scanned, shares >= tissue_share - 1e-9, num_places - rows * columns)


def mean_over_cells(mask: Mask, ys: Lines, xs: Lines) -> NDArray[np.float64]:
    """Average a mask over the cells of a grid whose lines need not lie between pixels; exact by area.

    Args:
        mask: bool [h, w].
        ys: The grid's horizontal lines, in pixels of the mask, [rows + 1].
        xs: The vertical ones, [columns + 1].

    Returns:
        Shares in [0, 1], [rows, columns].
    """
    total = np.pad(mask.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    corners = _between(_between(total, ys).T, xs).T
    areas = np.outer(np.diff(ys), np.diff(xs))
    shares: NDArray[np.float64] = np.diff(np.diff(corners, axis=0), axis=1) / areas
    return shares


def _between(rows: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate linearly between rows."""
    at = np.clip(at, 0, len(rows) - 1)
    below = np.minimum(at.astype(np.int64), len(rows) - 2)
    part = (at - below)[:, None]
    interpolated: NDArray[np.float64] = rows[below] * (1 - part) + rows[below + 1] * part
    return interpolated
