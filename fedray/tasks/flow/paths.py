"""Straight paths from noise to tiles, and what a network is asked on them (arXiv 2210.02747, 2209.03003).

``x_t = (1 - t) n + t x`` with noise ``n`` and a tile ``x``; its velocity is ``x - n`` at every time. A network
that says the expected velocity at ``x_t`` carries noise into tiles.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""What is learned: points [N, ...] and their times [N] in [0, 1] in, velocities [N, ...] out."""


def point_at(tiles: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return the points of straight paths, [N, ...], from noise to tiles of that shape, at times [N] in [0, 1]."""
    return torch.lerp(noise, tiles, times.view(-1, *[1] * (tiles.dim() - 1)))


def losses_of(velocity: Velocity, tiles: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return the mean squared error of each tile's velocity, [N] float32.

    Args:
        velocity: Is asked once.
        tiles: [N, ...] float32.
        noise: Of that shape, standard normal.
        times: [N] in [0, 1].
    """
    told = velocity(point_at(tiles, noise, times), times).float()
    errors: Tensor = (told - (tiles - noise)).square().flatten(1).mean(1)
    return errors


def spread(num: int, random: torch.Generator) -> Tensor:
    """Draw numbers [num] in [0, 1), each uniform, and all of them evenly apart (Kingma et al. 2021, appendix I.1).

    Times that are spread so tell a batch more than independent ones: its loss varies less. Their order is the batch's,
    which is shuffled.
    """
    shift = torch.rand((), generator=random, device=random.device)
    return torch.remainder(shift + torch.arange(num, device=random.device) / num, 1)


def _logit_normal(uniform: Tensor) -> Tensor:
    """Turn uniform numbers into the sigmoid of standard normal ones (Esser et al. 2024, arXiv 2403.03206)."""
    normal: Tensor = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
    return normal.sigmoid()


TIMES: dict[str, Callable[[Tensor], Tensor]] = {"logit-normal": _logit_normal, "uniform": lambda uniform: uniform}
"""By ``flow.times``: what makes times in [0, 1] of uniform numbers."""


def draw(tiles: Tensor, times: str, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw noise like tiles [N, ...] and times [N], named as in :data:`TIMES`, on the random stream's device."""
    noise = torch.randn(tiles.shape, generator=random, device=random.device)
    return noise, TIMES[times](spread(len(tiles), random))
