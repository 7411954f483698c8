"""Augmentation of training tiles: the geometric one of arXiv 2504.04130, or flips and quarter turns."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from fedray.learning.augmentation import Augment, turn_and_flip

SMALLEST_AREA = 0.64
"""Share of a tile's area that a crop keeps at the least."""
LARGEST_ANGLE = 45.0
"""Degrees."""


def geometric(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Crop, flip and rotate each tile [N, C, S, S] in [-1, 1] in one resampling.

    A square of 64 to 100 % of the area, anywhere; a horizontal flip of every second tile; a rotation by up to 45
    degrees either way. What comes in from outside is the tile's own mirror image: black corners would tell the angle.
    """
    area, left, top, turn, flip = (_uniform(len(tiles), random, tiles.device) for _ in range(5))
    scale = (SMALLEST_AREA + (1 - SMALLEST_AREA) * area).sqrt()
    angle = (2 * turn - 1) * math.radians(LARGEST_ANGLE)
    shift = [(2 * drawn - 1) * (1 - scale) for drawn in (left, top)]
    return resample(tiles, scale, angle, shift[0], shift[1], flip < 0.5)


def resample(tiles: Tensor, scale: Tensor, angle: Tensor, right: Tensor, down: Tensor, flip: Tensor) -> Tensor:
    """Cut a square out of each tile and enlarge it to the tile's size, bilinear.

    Args:
        tiles: [N, C, S, S] float.
        scale: [N], edge of the square in edges of the tile.
        angle: [N], in radians: what was right of the centre goes up as it grows.
        right: [N], shift of the square's centre, in halves of the tile's edge.
        down: [N], the same.
        flip: [N] bool, left and right change places.
    """
    cos, sin = scale * angle.cos(), scale * angle.sin()
    mirror = torch.where(flip, -1.0, 1.0)
    # From a place in the result to the place in the tile that it is read from.
    rows = [torch.stack([mirror * cos, -sin, right], 1), torch.stack([mirror * sin, cos, down], 1)]
    places = functional.affine_grid(torch.stack(rows, 1), list(tiles.shape), align_corners=False)
    return functional.grid_sample(tiles, places, mode="bilinear", padding_mode="reflection", align_corners=False)


def _uniform(num: int, random: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(num, generator=random, device=random.device).to(device)


AUGMENTS: dict[str, Augment] = {
    "none": lambda tiles, random: tiles,
    "histology": turn_and_flip,
    "geometric": geometric,
}
"""By ``classification.augment``."""
