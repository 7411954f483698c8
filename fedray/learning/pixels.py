"""Tiles as pixels and as what networks take and give."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_uint8(tiles: Tensor) -> NDArray[np.uint8]:
    """Turn [N, C, H, W] float in [-1, 1] into [N, H, W, C] uint8 in [0, 255], rounded."""
    levels = tiles.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    pixels: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def to_float(tiles: Tensor) -> Tensor:
    """Turn [N, H, W, C] uint8 in [0, 255] into [N, C, H, W] float32 in [-1, 1]."""
    return tiles.permute(0, 3, 1, 2).float().div(127.5).sub(1)
