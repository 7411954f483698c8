"""A slide that is made, not scanned: pieces of tissue on glass, of any size, as a pyramid of JPEG tiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import tifffile
from numpy.typing import NDArray
from PIL import Image

TILE = 256
"""Edge of the file's own JPEG tiles in pixels."""

FACTOR = 4
"""Each level is smaller than the one before by this factor, as in scanners' files."""

_APERIO = "Aperio Image Library v11\r\n{edge}x{edge} [0,0 {edge}x{edge}] JPEG/RGB Q=85|AppMag = 20|MPP = {mpp}"

_FIELD_PX = 64
"""Edge of the random field whose hills are the pieces of tissue."""


def write_pyramid(path: Path, edge: int, mpp: float, num_levels: int = 3, seed: int = 0, aperio: bool = False) -> Path:
    """Write a square slide as a tiled TIFF, tile by tile: memory holds no more than its second level.

    The tissue's texture is scikit-image's section of human colon, mirrored without end; its outline is random.

    Args:
        path: The file to make.
        edge: Of the finest level in pixels, a multiple of TILE * FACTOR ** (num_levels - 1).
        mpp: Micrometres per pixel of the finest level.
        num_levels: Resolutions.
        seed: Of the outline.
        aperio: Say so as Aperio's scanners do: OpenSlide then takes it for theirs.
    """
    assert edge % (TILE * FACTOR ** (num_levels - 1)) == 0, edge
    smaller = np.empty((edge // FACTOR, edge // FACTOR, 3), np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(num_levels):
            size = edge // FACTOR**level
            tiles = _finest_tiles(edge, smaller, seed) if level == 0 else _tiles_of(smaller)
            file.write(
                tiles,
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                subfiletype=int(level > 0),
                resolution=(1e4 / (mpp * FACTOR**level),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
                description=_APERIO.format(edge=edge, mpp=mpp) if aperio and level == 0 else None,
            )
            if level > 0:
                smaller = np.asarray(Image.fromarray(smaller).reduce(FACTOR))
    return path


def _finest_tiles(edge: int, smaller: NDArray[np.uint8], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the tiles of the finest level in raster order, and fill the next level."""
    random = np.random.default_rng(seed)
    picture = skimage.data.immunohistochemistry()
    texture = np.concatenate([picture, picture[:, ::-1]], axis=1)
    texture = np.concatenate([texture, texture[::-1]], axis=0)
    field = skimage.filters.gaussian(random.standard_normal((_FIELD_PX, _FIELD_PX)), sigma=5)
    field = np.pad(field, ((0, 1), (0, 1)), mode="edge")
    level = np.quantile(field, 0.6)  # about 40 % of the slide is tissue
    noise = random.normal(0, 1.5, (TILE * 2, TILE * 2, 1))
    for top in range(0, edge, TILE):
        for left in range(0, edge, TILE):
            rows, columns = (np.arange(start, start + TILE) for start in (top, left))
            tissue = _interpolate(field, rows * (_FIELD_PX / edge), columns * (_FIELD_PX / edge)) > level
            stained = texture[np.ix_(rows % len(texture), columns % len(texture))]
            shift = random.integers(0, TILE, 2)
            glass = 243 + noise[shift[0] : shift[0] + TILE, shift[1] : shift[1] + TILE]
            tile = np.where(tissue[..., None], stained, glass).astype(np.uint8)
            y, x = top // FACTOR, left // FACTOR
            smaller[y : y + TILE // FACTOR, x : x + TILE // FACTOR] = np.asarray(Image.fromarray(tile).reduce(FACTOR))
            yield tile


def _tiles_of(image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for top in range(0, len(image), TILE):
        for left in range(0, len(image), TILE):
            yield image[top : top + TILE, left : left + TILE]


def _interpolate(field: NDArray[Any], ys: NDArray[Any], xs: NDArray[Any]) -> NDArray[Any]:
    """Interpolate a field bilinearly on a grid, [len(ys), len(xs)]."""
    y, x = ys.astype(int), xs.astype(int)
    v, u = (ys - y)[:, None], (xs - x)[None]
    upper = field[np.ix_(y, x)] * (1 - u) + field[np.ix_(y, x + 1)] * u
    lower = field[np.ix_(y + 1, x)] * (1 - u) + field[np.ix_(y + 1, x + 1)] * u
    return upper * (1 - v) + lower * v
