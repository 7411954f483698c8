"""The picture of a mask: what was taken for tissue, and which tiles were cut."""

from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from fedray.data.slides.grid import Grid
from fedray.data.slides.mask import Overview, Tissue
from fedray.data.slides.slide import Pixels, Slide

MAX_EDGE_PX = 1600
"""Of either half of the picture."""

OUTLINE = (0, 120, 60)
"""Colour of the mask's edge."""
TISSUE = (190, 190, 190)
CUT = (60, 160, 110)
CUT_EDGE = (255, 255, 255)


def draw_mask(slide: Slide, overview: Overview, tissue: Tissue, grid: Grid) -> Image.Image:
    """Draw the slide with the tissue's outline, and beside it the tissue (grey) with the tiles that are cut (green)."""
    left = overview.pixels.copy()
    left[skimage.segmentation.find_boundaries(tissue.mask, mode="thick")] = OUTLINE
    right = np.full_like(left, 255)
    right[tissue.mask] = TISSUE
    _draw_tiles(right, slide, overview, grid)
    gap = np.full((left.shape[0], 8, 3), 255, np.uint8)
    picture = Image.fromarray(np.concatenate([left, gap, right], axis=1))
    factor = max(1, -(-max(left.shape[:2]) // MAX_EDGE_PX))
    return picture.reduce(factor)


def save_mask(picture: Image.Image, folder: Path, index: int, slide: Path) -> None:
    """Save the picture of one slide under a name that no other slide has, however slides are called."""
    stem = slide.name.encode()[:200].decode(errors="ignore")
    picture.save(folder / f"{index:04d}-{stem}{SUFFIX}")


SUFFIX = ".tissue.png"
"""What the names of these pictures end with."""


def _draw_tiles(canvas: Pixels, slide: Slide, overview: Overview, grid: Grid) -> None:
    ratio = [fine / coarse for fine, coarse in zip(slide.levels[grid.reading.level].mpp, overview.mpp, strict=True)]
    width, height = (pitch * r for pitch, r in zip(grid.reading.pitch, ratio, strict=True))
    for row, column in np.argwhere(grid.kept):
        x, end = round(column * width), round((column + 1) * width)
        y, bottom = round(row * height), round((row + 1) * height)
        canvas[y:bottom, x:end] = CUT_EDGE
        canvas[y : bottom - 1, x : end - 1] = CUT
