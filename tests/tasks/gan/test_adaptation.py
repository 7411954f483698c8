"""Models of timm as discriminators: no chance in them, and norms that leave a gradient."""

import logging

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from fedray.data import TileShape
from fedray.learning import Condition, ModelError
from fedray.tasks.gan import Gan
from fedray.tasks.gan.backbones import couples_samples
from tests.support.networks import BACKBONES, config

SHAPE = TileShape(size=32, channels=3, num_labels=2)
# What timm makes with chance in it: drop path (0.1; 0.5 for NesT), dropout before the classifier, and both at once.
CHANCY = ["nest_tiny", "focalnet_tiny_srf", "nextvit_small", "swinv2_cr_tiny_224", "rexnet_100", "ghostnet_050"]


def critic(backbone, **fields):
    return Gan(config(**{"objective": "acgan", "discriminator": backbone, **fields}), SHAPE, seed=0).discriminator


def tiles_and_condition(num=4):
    tiles = torch.randn(num, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return tiles, Condition(torch.arange(num) % 2, torch.zeros(num, dtype=torch.int64))


@pytest.mark.parametrize("backbone", [*BACKBONES, "swin_t", *CHANCY])
def test_the_same_tiles_get_the_same_answer_twice_in_training(backbone):
    judge = critic(backbone).train()
    before = torch.get_rng_state()
    with torch.no_grad():
        first, second = (judge(*tiles_and_condition()).scores for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_draws_all_the_same_is_refused(monkeypatch):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, tiles):
            return functional.dropout(tiles.flatten(1) * self.weight, 0.2, self.training)

    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: Noisy())
    with pytest.raises(ModelError, match=r"resnet18 cannot be a discriminator: it draws at random.*take another"):
        critic("resnet18")


def test_to_look_at_a_model_leaves_no_trace_in_it():
    judge = critic("resnet18", objective="cgan-hinge", spectral_norm=False)
    norm = judge.backbone.model.bn1
    assert (norm.num_batches_tracked.item(), norm.running_mean.abs().max().item()) == (0, 0.0)
    assert judge.training


@pytest.mark.parametrize("backbone", ["levit_128s", "levit_conv_128s", "repvit_m0_9", "efficientvit_m0"])
@pytest.mark.parametrize("fields", [{"objective": "cgan-hinge"}, {"objective": "wgan-gp", "penalty": "none"}])
def test_a_mean_of_scores_has_a_gradient(backbone, fields, caplog):
    """These end every path in BatchNorm, which makes the features' mean its own shift, whatever the tiles."""
    with caplog.at_level(logging.WARNING, logger="fedray"):
        judge = critic(backbone, **fields).train()
    assert "BatchNorm layers became GroupNorm, because it fixes the mean of the features" in caplog.text
    assert not couples_samples(judge)
    tiles, condition = tiles_and_condition()
    condition = Condition(torch.zeros_like(condition.labels), condition.domains)  # one label: one linear function
    tiles.requires_grad_()
    scores = judge(tiles, condition).scores
    (of_mean,) = torch.autograd.grad(scores.mean(), tiles, retain_graph=True)
    (of_one,) = torch.autograd.grad(scores[0] / len(scores), tiles)
    assert of_mean.norm() > 0.1 * of_one.norm()


def test_batch_norm_stays_where_the_loss_can_do_with_it():
    for backbone, objective in (("levit_128s", "acgan"), ("resnet18", "cgan-hinge")):
        assert couples_samples(critic(backbone, objective=objective).train())


def test_a_penalty_by_tile_replaces_batch_norm_of_any_dimension():
    """LeViT has BatchNorm1d after its linear layers: left alone, it would couple the tiles of a penalty by tile."""
    judge = critic("levit_128s", objective="wgan-gp").train()
    tiles, condition = tiles_and_condition()
    alone = judge(tiles[:1], condition.chosen(slice(0, 1))).scores
    torch.testing.assert_close(judge(tiles, condition).scores[:1], alone, atol=1e-4, rtol=1e-4)
