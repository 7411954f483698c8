"""Tiles that a network makes, batch by batch."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedray.learning.conditions import Condition
from fedray.learning.errors import DivergedError
from fedray.learning.pixels import to_uint8


def wanted_condition(labels: NDArray[np.int64], domains: NDArray[np.int64] | None, num_domains: int) -> Condition:
    """Return what tiles are asked for, of labels and domains [N] int64; without domains: all in turn."""
    if domains is None:
        domains = np.arange(len(labels)) % num_domains
    return Condition(*(torch.from_numpy(np.asarray(part, dtype=np.int64)) for part in (labels, domains)))


def make_tiles(
    make: Callable[[Tensor, Condition], Tensor],
    noise: Tensor,
    wanted: Condition,
    device: torch.device,
    batch_size: int | None = None,
    *,
    diverged: str,
) -> NDArray[np.uint8]:
    """Make a tile of each noise.

    Args:
        make: Turns noise and conditions on the device into tiles [n, C, H, W] in [-1, 1].
        noise: [N, ...], on the CPU.
        wanted: Of N tiles, on the CPU.
        device: Where they are made.
        batch_size: Tiles at a time; does not change the result but to rounding. Unset: 256, or 64 on a CPU, whose cache
            holds the maps of so many (a sixth faster at 32 px).
        diverged: Message where tiles are not finite, with a remedy.

    Returns:
        [N, H, W, C] uint8.

    Raises:
        DivergedError: A tile is not finite, which no uint8 can say.
    """
    batch_size = batch_size or (64 if device.type == "cpu" else 256)
    batches = []
    for start in range(0, len(noise), batch_size):
        part = slice(start, start + batch_size)
        tiles = make(noise[part].to(device), wanted.chosen(part).to(device))
        if not tiles.sum().isfinite():
            raise DivergedError(diverged)
        batches.append(to_uint8(tiles))
    return np.concatenate(batches)
