"""Every objective learns: on a ring of eight Gaussians with two labels it covers all of them, each under its label."""

import math

import pytest
import torch

from fedray.learning import Condition
from fedray.tasks.gan import OBJECTIVES, GanSteps, Optimizers
from tests.support.networks import Points, config

NUM_MODES, RADIUS, SPREAD = 8, 2.0, 0.05
# Chosen by trial. A gradient penalty with each, or GANs of this kind cycle around their solution (Mescheder et al.
# 2018): with gamma 0.1 one seed of acgan-ns still did. And labels that are halves of the ring: with labels that
# alternate and without a penalty, both ACGANs covered no mode and the hinge loss two.
SETTINGS = {"wgan-gp": {"n_critic": 2, "gradient_penalty": 1.0}}
OTHERS = {"penalty": "r1", "gradient_penalty": 1.0, "n_critic": 1, "beta1": 0.5, "beta2": 0.999}


def centres():
    angles = torch.arange(NUM_MODES) * 2 * math.pi / NUM_MODES
    return RADIUS * torch.stack([angles.cos(), angles.sin()], 1)


def draw(num, random):
    modes = torch.randint(NUM_MODES, (num,), generator=random)
    points = centres()[modes] + SPREAD * torch.randn(num, 2, generator=random)
    labels = modes // (NUM_MODES // 2)
    return points.view(-1, 2, 1, 1), Condition(labels, torch.zeros_like(labels))


def covered(gan, num=2000):
    """Share of the generated points that lie at each centre, those of the wrong label left out."""
    labels = torch.arange(num) % 2
    noise = torch.randn(num, gan.config.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        points = gan.generator_ema(noise, Condition(labels, torch.zeros_like(labels))).flatten(1)
    distances, nearest = torch.cdist(points, centres()).min(1)
    right = (distances < 5 * SPREAD) & (nearest // (NUM_MODES // 2) == labels)
    return [(right & (nearest == mode)).float().mean().item() for mode in range(NUM_MODES)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_mode_is_covered_under_its_label(objective):
    settings = config(objective=objective, generator_lr=1e-3, ema_decay=0.99, **SETTINGS.get(objective, OTHERS))
    gan = Points.gan(settings, num_labels=2)
    random = torch.Generator().manual_seed(0)
    steps = GanSteps(gan, Optimizers(gan), random)
    assert sum(covered(gan)) < 0.1
    times_in_a_row = 0
    for step in range(1200):
        for _ in range(settings.recipe.n_critic):
            points, condition = draw(128, random)
            steps.discriminator(points, condition)
        steps.generator(condition)
        gan.update_ema(step)
        if step % 100 == 99:
            shares = covered(gan)
            times_in_a_row = times_in_a_row + 1 if min(shares) > 0.1 / NUM_MODES and sum(shares) > 0.5 else 0
        if times_in_a_row == 3:  # it stays there
            return
    raise AssertionError(shares)
