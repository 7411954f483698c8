"""Penalties on the gradient of a discriminator's score by its tile."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedray.learning import Condition
from fedray.tasks.gan.backbones import differentiable_twice

Penalty = Callable[[nn.Module, Tensor, Tensor, Condition, torch.Generator], Tensor]


def gradient_penalty(
    discriminator: nn.Module, real: Tensor, fake: Tensor, condition: Condition, random: torch.Generator
) -> Tensor:
    """Gradient penalty of WGAN-GP (Gulrajani et al. 2017, eq. 3), without its weight.

    Mean over samples of (||grad_x D(x)||_2 - 1)^2 at x = e * real + (1 - e) * fake, e uniform in [0, 1) per sample.

    Args:
        discriminator: Judges tiles.
        real: [N, C, H, W] float32 in [-1, 1].
        fake: The same shape.
        condition: Of real and fake alike.
        random: Stream for e, on the device of the tiles.

    Returns:
        A scalar that backpropagates into the discriminator.
    """
    mix = torch.rand(len(real), 1, 1, 1, generator=random, device=real.device)
    between = (mix * real + (1 - mix) * fake).detach()
    norms: Tensor = _gradient(discriminator, between, condition).flatten(1).norm(dim=1)
    return (norms - 1).square().mean()


def r1_penalty(
    discriminator: nn.Module, real: Tensor, fake: Tensor, condition: Condition, random: torch.Generator
) -> Tensor:
    """R1 (Mescheder et al. 2018, eq. 9), without gamma: half the mean over real tiles of ||grad_x D(x)||_2^2.

    Arguments and result as in :func:`gradient_penalty`; ``fake`` and ``random`` are not used.
    """
    gradient = _gradient(discriminator, real.detach(), condition)
    return 0.5 * gradient.flatten(1).square().sum(1).mean()


def _gradient(discriminator: nn.Module, tiles: Tensor, condition: Condition) -> Tensor:
    tiles = tiles.requires_grad_()
    with differentiable_twice():
        scores = discriminator(tiles, condition).scores
    (gradient,) = torch.autograd.grad(scores.sum(), tiles, create_graph=True)
    return gradient


PENALTIES: dict[str, tuple[str, Penalty]] = {
    "gradient": ("gradient-penalty", gradient_penalty),
    "r1": ("r1-penalty", r1_penalty),
}
"""By ``gan.penalty``: the name under which it is reported, and the function."""
