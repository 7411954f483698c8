"""Every objective and penalty against cases worked by hand."""

import math

import pytest
import torch
from torch.nn import functional

from fedray.learning import Condition
from fedray.tasks.gan import OBJECTIVES, Gan, Judgement, gradient_penalty, r1_penalty
from tests.support.networks import SHAPE, Linear, Quadratic, batch, condition, config

REAL, FAKE = torch.tensor([0.5, -2.0]), torch.tensor([1.5, 0.25])
LABELS = Condition(torch.tensor([0, 2]), torch.tensor([0, 0]))
REAL_LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0]])
FAKE_LOGITS = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.5]])


def log_sigmoid(score):
    return -math.log1p(math.exp(-score))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cross_entropy(logits):
    rows = [[math.exp(value) for value in row] for row in logits.tolist()]
    return mean(-math.log(row[label] / sum(row)) for row, label in zip(rows, [0, 2], strict=True))


BCE = -mean(log_sigmoid(s) for s in REAL.tolist()) - mean(log_sigmoid(-s) for s in FAKE.tolist())
SATURATING = mean(log_sigmoid(-s) for s in FAKE.tolist())
NON_SATURATING = -mean(log_sigmoid(s) for s in FAKE.tolist())
BOTH_LABELS, FAKE_LABELS = cross_entropy(REAL_LOGITS) + cross_entropy(FAKE_LOGITS), cross_entropy(FAKE_LOGITS)

CASES = {
    "wgan-gp": (0.875 - -0.75, -0.875),
    "cgan": (BCE, SATURATING),
    "cgan-ns": (BCE, NON_SATURATING),
    "cgan-hinge": (mean([0.5, 3.0]) + mean([2.5, 1.25]), -0.875),
    "acgan": (BCE + BOTH_LABELS, SATURATING + FAKE_LABELS),
    "acgan-ns": (BCE + BOTH_LABELS, NON_SATURATING + FAKE_LABELS),
}


def test_every_objective_has_its_case():
    assert set(CASES) == set(OBJECTIVES)


@pytest.mark.parametrize("name", CASES)
def test_losses_by_hand(name):
    objective = OBJECTIVES[name]()
    real, fake = Judgement(REAL, REAL_LOGITS), Judgement(FAKE, FAKE_LOGITS)
    discriminator = objective.discriminator_losses(real, fake, LABELS)
    generator = objective.generator_losses(fake, LABELS)
    expected = CASES[name]
    assert discriminator["loss"].item() == pytest.approx(expected[0], rel=1e-5)
    assert generator["loss"].item() == pytest.approx(expected[1], rel=1e-5)
    assert tuple(discriminator) == objective.discriminator_terms
    assert tuple(generator) == objective.generator_terms


@pytest.mark.parametrize("name", CASES)
def test_losses_point_the_right_way(name):
    """The discriminator wants real scores up and generated ones down, the generator wants those up."""
    objective = OBJECTIVES[name]()
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    objective.discriminator_losses(Judgement(real, REAL_LOGITS), Judgement(fake, FAKE_LOGITS), LABELS)[
        "loss"
    ].backward()
    assert (real.grad <= 0).all() and real.grad.sum() < 0
    assert (fake.grad >= 0).all() and fake.grad.sum() > 0
    fake.grad = None
    objective.generator_losses(Judgement(fake, FAKE_LOGITS), LABELS)["loss"].backward()
    assert (fake.grad < 0).all()


def test_an_auxiliary_classifier_tells_domains_where_there_are_several():
    objective, both = OBJECTIVES["acgan"](), Condition(LABELS.labels, torch.tensor([1, 0]))
    domains = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    with_domains = objective.generator_losses(Judgement(FAKE, FAKE_LOGITS, domains), both)["label"]
    without = objective.generator_losses(Judgement(FAKE, FAKE_LOGITS), both)["label"]
    assert (with_domains - without).item() == pytest.approx(functional.cross_entropy(domains, both.domains).item())


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
    real, fake, _ = batch(2)
    labels = condition(2)
    critic = Gan(config(), SHAPE, seed=0).discriminator.double()
    mix = torch.rand(2, 1, 1, 1, generator=torch.Generator().manual_seed(2))
    between = (mix * real + (1 - mix) * fake).double()
    step, gradient = 1e-5, torch.zeros_like(between)
    with torch.no_grad():
        for index in range(between[0].numel()):
            shift = torch.zeros_like(between).flatten(1)
            shift[:, index] = step
            shift = shift.view_as(between)
            difference = critic(between + shift, labels).scores - critic(between - shift, labels).scores
            gradient.flatten(1)[:, index] = difference / (2 * step)
    expected = (gradient.flatten(1).norm(dim=1) - 1).square().mean().item()
    # real == fake == between: any mix is the same point, and in float64
    penalty = gradient_penalty(critic, between, between, labels, torch.Generator().manual_seed(0))
    assert penalty.item() == pytest.approx(expected, rel=1e-6)


def test_r1_of_a_quadratic_critic_and_its_derivative_are_exact():
    real, fake, labels = batch()
    critic = Quadratic(0.7)
    penalty = r1_penalty(critic, real, fake, labels, torch.Generator())
    penalty.backward()
    squares = real.flatten(1).square().sum(1).mean().item()
    assert penalty.item() == pytest.approx(0.5 * 0.7**2 * squares, rel=1e-5)
    assert critic.factor.grad.item() == pytest.approx(0.7 * squares, rel=1e-4)
