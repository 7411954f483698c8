"""The contract of every objective, and WGAN-GP against cases worked by hand."""

import pytest
import torch
from torch import nn

from fedray.config import GanConfig
from fedray.models import OBJECTIVES, Gan, TileShape, gradient_penalty

SHAPE = TileShape(size=16, channels=3, num_labels=3)
SMALL = {"latent_dim": 8, "generator_channels": 8, "discriminator_channels": 8}


def batch(num=6):
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(num, 3, 16, 16, generator=random) * 2 - 1 for _ in range(2))
    return real, fake, torch.arange(num) % 3


class Linear(nn.Module):
    """D(x) = w . x for every sample: its gradient is w everywhere."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, tiles, labels):
        return (tiles * self.weight).sum(dim=(1, 2, 3))


class Quadratic(nn.Module):
    """D(x) = a ||x||^2 / 2: its gradient at x is a x."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, tiles, labels):
        return 0.5 * self.factor * tiles.square().sum(dim=(1, 2, 3))


def test_gradient_penalty_of_a_linear_critic_is_exact():
    real, fake, labels = batch()
    weight = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    penalty = gradient_penalty(Linear(weight), real, fake, labels, torch.Generator().manual_seed(2))
    assert penalty.item() == pytest.approx((weight.norm().item() - 1) ** 2, rel=1e-5)


def test_gradient_penalty_of_a_quadratic_critic_and_its_derivative_are_exact():
    real, fake, labels = batch()
    critic, random = Quadratic(0.7), torch.Generator().manual_seed(2)
    mix = torch.rand(len(real), 1, 1, 1, generator=torch.Generator().manual_seed(2))
    norms = (mix * real + (1 - mix) * fake).flatten(1).norm(dim=1)
    penalty = gradient_penalty(critic, real, fake, labels, random)
    penalty.backward()
    assert penalty.item() == pytest.approx((0.7 * norms - 1).square().mean().item(), rel=1e-5)
    assert critic.factor.grad.item() == pytest.approx((2 * (0.7 * norms - 1) * norms).mean().item(), rel=1e-4)


def test_gradient_penalty_of_the_cnn_agrees_with_finite_differences():
    real, fake, labels = (value[:2] for value in batch())
    critic = Gan(GanConfig(**SMALL), SHAPE, seed=0).discriminator.double()
    mix = torch.rand(2, 1, 1, 1, generator=torch.Generator().manual_seed(2))
    between = (mix * real + (1 - mix) * fake).double()
    step, gradient = 1e-5, torch.zeros_like(between)
    with torch.no_grad():
        for index in range(between[0].numel()):
            shift = torch.zeros_like(between).flatten(1)
            shift[:, index] = step
            shift = shift.view_as(between)
            difference = (critic(between + shift, labels) - critic(between - shift, labels)) / (2 * step)
            gradient.flatten(1)[:, index] = difference
    expected = (gradient.flatten(1).norm(dim=1) - 1).square().mean().item()
    # real == fake == between: any mix is the same point, and in float64
    penalty = gradient_penalty(critic, between, between, labels, torch.Generator().manual_seed(0))
    assert penalty.item() == pytest.approx(expected, rel=1e-6)


def test_wgan_gp_losses_by_hand():
    real, fake, labels = batch()
    critic = Linear(torch.full((3, 16, 16), 0.01))
    objective = OBJECTIVES["wgan-gp"](GanConfig(gradient_penalty=7.0))
    losses = objective.discriminator_losses(critic, real, fake, labels, torch.Generator().manual_seed(0))
    wasserstein = 0.01 * (real.flatten(1).sum(1).mean() - fake.flatten(1).sum(1).mean())
    penalty = (0.01 * (3 * 16 * 16) ** 0.5 - 1) ** 2
    assert losses["wasserstein"].item() == pytest.approx(wasserstein.item(), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(7.0 * penalty - wasserstein.item(), rel=1e-4)
    generator = objective.generator_losses(critic, fake, labels)["loss"]
    assert generator.item() == pytest.approx(-0.01 * fake.flatten(1).sum(1).mean().item(), rel=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
class TestContract:
    def losses(self, name):
        gan = Gan(GanConfig(objective=name, **SMALL), SHAPE, seed=0)
        objective = OBJECTIVES[name](gan.config)
        real, _, labels = batch()
        fake = gan.generator(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), labels)
        random = torch.Generator().manual_seed(0)
        return gan, objective, real, fake, labels, random

    def test_terms_are_the_declared_ones_finite_and_scalar(self, name):
        gan, objective, real, fake, labels, random = self.losses(name)
        critic = objective.discriminator_losses(gan.discriminator, real, fake.detach(), labels, random)
        generator = objective.generator_losses(gan.discriminator, fake, labels)
        assert tuple(critic) == objective.discriminator_terms
        assert tuple(generator) == objective.generator_terms
        for value in (*critic.values(), *generator.values()):
            assert value.shape == ()
            assert torch.isfinite(value)

    def test_gradients_reach_every_parameter(self, name):
        gan, objective, real, fake, labels, random = self.losses(name)
        objective.discriminator_losses(gan.discriminator, real, fake.detach(), labels, random)["loss"].backward()
        untouched = [n for n, p in gan.discriminator.named_parameters() if p.grad is None or not p.grad.any()]
        # A bias of the score shifts real and fake alike: WGAN's difference does not see it.
        assert untouched in ([], ["score.bias"])
        objective.generator_losses(gan.discriminator, fake, labels)["loss"].backward()
        assert [n for n, p in gan.generator.named_parameters() if p.grad is None or not p.grad.any()] == []
