"""Adversarial objectives: what the discriminator and the generator minimise."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fedray.config import GanConfig

Losses = dict[str, Tensor]


class Objective(ABC):
    """The two losses of a GAN. Each is a dict of scalars whose entry ``loss`` is minimised; the others are reported."""

    discriminator_terms: tuple[str, ...]
    """Names of the discriminator's losses, ``loss`` first."""
    generator_terms: tuple[str, ...]
    """Names of the generator's losses, ``loss`` first."""

    def __init__(self, config: GanConfig) -> None:
        """Take the weights of the terms from the configuration."""
        self.config = config

    @abstractmethod
    def discriminator_losses(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, random: torch.Generator
    ) -> Losses:
        """Losses of a discriminator step.

        Args:
            discriminator: Maps tiles and labels to scores [N].
            real: [N, C, H, W] float32 in [-1, 1].
            fake: The same shape and range, detached from the generator.
            labels: [N] int64, of real and fake alike.
            random: Stream for the objective's own draws, on the device of the tiles.
        """

    @abstractmethod
    def generator_losses(self, discriminator: nn.Module, fake: Tensor, labels: Tensor) -> Losses:
        """Losses of a generator step; ``fake`` is attached to the generator. Shapes as in the discriminator's."""


class WganGp(Objective):
    """Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028)."""

    discriminator_terms = ("loss", "wasserstein", "gradient-penalty")
    generator_terms = ("loss",)

    def discriminator_losses(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, random: torch.Generator
    ) -> Losses:
        """Minimise E[D(fake)] - E[D(real)] + lambda * penalty: maximise the Wasserstein estimate under the penalty."""
        # One forward for both halves: GroupNorm keeps the samples apart, so the scores are those of two forwards.
        real_scores, fake_scores = discriminator(torch.cat([real, fake]), torch.cat([labels, labels])).chunk(2)
        wasserstein = real_scores.mean() - fake_scores.mean()
        penalty = gradient_penalty(discriminator, real, fake, labels, random)
        loss = self.config.gradient_penalty * penalty - wasserstein
        return {"loss": loss, "wasserstein": wasserstein, "gradient-penalty": penalty}

    def generator_losses(self, discriminator: nn.Module, fake: Tensor, labels: Tensor) -> Losses:
        """Minimise -E[D(fake)]: maximise the critic's score of generated tiles."""
        return {"loss": -discriminator(fake, labels).mean()}


def gradient_penalty(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, random: torch.Generator
) -> Tensor:
    """Gradient penalty of WGAN-GP (Gulrajani et al. 2017, eq. 3), without its weight.

    Mean over samples of (||grad_x D(x)||_2 - 1)^2 at x = e * real + (1 - e) * fake, e uniform in [0, 1) per sample.

    Args:
        discriminator: Maps tiles and labels to scores [N].
        real: [N, C, H, W] float32 in [-1, 1].
        fake: The same shape.
        labels: [N] int64.
        random: Stream for e, on the device of the tiles.

    Returns:
        A scalar that backpropagates into the discriminator.
    """
    mix = torch.rand(len(real), 1, 1, 1, generator=random, device=real.device)
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_()
    scores = discriminator(between, labels)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    norms: Tensor = gradient.flatten(1).norm(dim=1)
    return (norms - 1).square().mean()


OBJECTIVES: dict[str, type[Objective]] = {"wgan-gp": WganGp}
