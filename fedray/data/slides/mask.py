"""Tissue: where a slide is coloured, at a resolution at which glass and tissue differ and cells do not matter."""

from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from fedray.data.parallel import in_order
from fedray.data.slides.slide import Pixels, Region, Slide

MASK_MPP = 8.0
"""Micrometres per pixel of the overview in which tissue is looked for, roughly: levels differ by whole factors."""

MIN_SATURATION = 0.05
"""Least saturation of tissue: on a slide without any, Otsu's threshold would divide the noise of the glass."""

GLASS = 0.02
"""Saturation below which nothing but glass and noise is found."""

MIN_VALUE = 0.15
"""Least brightness of tissue: what is darker is a frame, a gap between scans or a pen, with no certain colour."""

MIN_AREA_UM2 = 5_000.0
"""Specks of tissue and holes in it below this area, in square micrometres, are not tissue and not holes."""

BLOCK_PX = 2048
"""Edge of the regions in which a level is read, so that memory does not grow with the slide."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Overview:
    """The scanned part of a slide, made smaller."""

    pixels: Pixels
    """uint8 [h, w, 3], RGB."""
    level: int
    """The level that it was made of."""
    factor: int
    """Pixels of that level a pixel of the overview, in both directions."""
    mpp: tuple[float, float]
    """Micrometres per pixel of the overview."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where the tissue is."""

    mask: Mask
    """bool [h, w], a pixel for each of the overview."""
    threshold: float
    """Saturation, in [0, 1], above which a pixel is tissue."""


def read_overview(slide: Slide, executor: Executor, num_ahead: int) -> Overview:
    """Read the scanned part of a slide at about :data:`MASK_MPP`, from the coarsest level that is fine enough.

    Pixels are averaged over squares, block by block: a slide without coarse levels is read once, in bounded memory.

    Args:
        slide: The slide.
        executor: Reads the blocks.
        num_ahead: Blocks that are worked on at a time.

    Raises:
        SlideError: A part of the level cannot be decoded.
    """
    fine = [i for i, level in enumerate(slide.levels) if max(level.mpp) <= MASK_MPP * 1.25]
    level = max(fine, key=lambda i: slide.levels[i].mpp) if fine else 0
    factor = max(1, round(MASK_MPP / max(slide.levels[level].mpp)))
    left, top, width, height = slide.scanned_at(level)
    step = max(1, BLOCK_PX // factor) * factor
    regions = [
        Region(left + x, top + y, min(step, width - x), min(step, height - y))
        for y in range(0, height, step)
        for x in range(0, width, step)
    ]
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)

    def reduce(region: Region) -> Pixels:
        return _reduce(slide.read(level, region), factor)

    with closing(in_order(executor, reduce, regions, num_ahead)) as blocks:
        for region, block in zip(regions, blocks, strict=True):
            y, x = (region.top - top) // factor, (region.left - left) // factor
            pixels[y : y + block.shape[0], x : x + block.shape[1]] = block
    mpp = slide.levels[level].mpp
    return Overview(pixels, level, factor, (mpp[0] * factor, mpp[1] * factor))


def find_tissue(overview: Overview, threshold: float | None = None) -> Tissue:
    """Find tissue: saturation above Otsu's threshold (Otsu 1979, of its logarithm), without specks and small holes.

    Args:
        overview: The slide.
        threshold: Saturation to use in place of Otsu's, in (0, 1): for slides that are tissue all over, of which Otsu
            would take the paler half for glass.
    """
    smooth = skimage.filters.gaussian(overview.pixels, sigma=1, channel_axis=-1)
    value = smooth.max(axis=-1)
    saturation = (value - smooth.min(axis=-1)) / np.maximum(value, 1e-6)
    visible = value >= MIN_VALUE
    if threshold is None:
        threshold = _otsu(saturation[visible])
    mask = visible & (saturation > threshold)
    area_px = MIN_AREA_UM2 / (overview.mpp[0] * overview.mpp[1])
    mask = _without_small(mask, area_px)
    return Tissue(~_without_small(~mask, area_px), threshold)


def _otsu(saturation: NDArray[np.floating[Any]]) -> float:
    """Return the threshold between glass and tissue.

    Of the logarithm, because stains differ by factors: of saturation itself, the threshold lies between strong brown
    and everything else, and pale stroma would be glass. Glass is clipped to one value, as its noise has no meaning.
    """
    if saturation.size == 0:
        return 1.0
    return max(MIN_SATURATION, float(np.exp(skimage.filters.threshold_otsu(np.log(np.maximum(saturation, GLASS))))))


def _without_small(mask: Mask, area_px: float) -> Mask:
    """Clear connected parts below an area."""
    parts = skimage.measure.label(mask, connectivity=1)
    areas = np.bincount(parts.ravel())
    kept: Mask = mask & (areas[parts] >= area_px)
    return kept


def _reduce(pixels: Pixels, factor: int) -> Pixels:
    """Average squares; those at the right and lower edge may be smaller."""
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
