"""Weights and errors of the discriminators' backbones."""

import logging

import numpy as np
import pytest
import timm
import torch
from torch import nn

from fedray.data import TileShape
from fedray.learning import Condition, ModelError
from fedray.pretrained import frozen_lite0
from fedray.tasks.gan import Gan
from fedray.tasks.gan.backbones import TimmBackbone, couples_samples
from tests.support.networks import config, imagenet_file

SHAPE = TileShape(size=32, channels=3, num_labels=2)


def discriminator(size=32, **fields):
    return Gan(config(**{"objective": "acgan", **fields}), SHAPE._replace(size=size), seed=0).discriminator


def test_imagenet_weights_come_from_the_named_file(tmp_path):
    path = imagenet_file("resnet18", tmp_path)
    loaded = discriminator(discriminator="resnet18", initialisation="imagenet", weights=path).backbone.model
    torch.manual_seed(5)
    expected = timm.create_model("resnet18").state_dict()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_imagenet_weights_come_from_the_folder_of_the_environment(tmp_path, monkeypatch):
    imagenet_file("resnet18", tmp_path)
    monkeypatch.setenv("FEDRAY_WEIGHTS", str(tmp_path))
    loaded = discriminator(discriminator="resnet18", initialisation="imagenet").backbone.model
    torch.manual_seed(5)
    assert torch.equal(loaded.conv1.weight, timm.create_model("resnet18").conv1.weight)


def test_installed_imagenet_weights_need_no_file(monkeypatch):
    monkeypatch.delenv("FEDRAY_WEIGHTS", raising=False)
    fields = {"discriminator": "tf_efficientnet_lite0", "initialisation": "imagenet"}
    loaded = discriminator(**fields).backbone.model.state_dict()
    published = frozen_lite0().state_dict()
    assert len(loaded) > 200
    for name, value in loaded.items():
        assert torch.equal(value, published[name]), name


def test_imagenet_weights_fit_other_tile_sizes_and_channels(tmp_path):
    path = imagenet_file("vit_tiny_patch16_224", tmp_path)
    fields = {"discriminator": "vit_tiny_patch16_224", "initialisation": "imagenet", "weights": path}
    gan = Gan(config(objective="acgan", **fields), TileShape(48, 1, 2), seed=0)
    assert gan.discriminator.backbone.model.pos_embed.shape[1] == 3 * 3 + 1
    assert gan.discriminator.backbone.model.patch_embed.proj.weight.shape[1] == 1


def test_pixels_reach_the_model_as_it_knows_them():
    backbone = TimmBackbone(config(discriminator="resnet18"), SHAPE, linear=False, load_weights=True)
    seen = []
    backbone.model = nn.Identity()
    backbone.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    backbone(torch.stack([torch.full((3, 32, 32), value) for value in (-1.0, 1.0)]))
    mean, std = (
        np.array(timm.data.constants.IMAGENET_DEFAULT_MEAN),
        np.array(timm.data.constants.IMAGENET_DEFAULT_STD),
    )
    np.testing.assert_allclose(seen[0][0, :, 0, 0], (0 - mean) / std, rtol=1e-5)
    np.testing.assert_allclose(seen[0][1, :, 0, 0], (1 - mean) / std, rtol=1e-5)


def test_weights_that_are_missing_are_an_error_that_names_the_file_and_the_way(tmp_path, monkeypatch):
    fields = {"discriminator": "resnet18", "initialisation": "imagenet"}
    with pytest.raises(ModelError, match=r"no\.pth; .*pretrained=True.*resnet18\.safetensors"):
        discriminator(weights=str(tmp_path / "no.pth"), **fields)
    monkeypatch.setenv("FEDRAY_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match=r"FEDRAY_WEIGHTS must hold resnet18\.safetensors or resnet18\.pth"):
        discriminator(**fields)


def test_a_weight_file_of_another_model_is_refused(tmp_path):
    path = imagenet_file("vit_tiny_patch16_224", tmp_path)
    with pytest.raises(ModelError, match="ImageNet weights of resnet18 could not be loaded"):
        discriminator(discriminator="resnet18", initialisation="imagenet", weights=path)


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(ModelError, match=r"but got 'resnet81'; the nearest names are .*'resnet18'"):
        discriminator(discriminator="resnet81")


def test_tiles_that_cannot_be_cut_into_patches_name_sizes_that_can():
    with pytest.raises(ModelError, match=r"multiple of 16, but the tiles have 40 px.*32 px or 48 px"):
        discriminator(size=40, discriminator="vit_tiny_patch16_224")


def test_a_model_without_one_vector_a_tile_cannot_carry_heads(monkeypatch):
    class Map(nn.Module):
        def forward(self, tiles):
            return tiles

    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: Map())
    with pytest.raises(ModelError, match=r"gan.discriminator 'resnet18' cannot carry a head.*\[1, 3, 32, 32\]"):
        discriminator(discriminator="resnet18")


def test_a_model_that_a_penalty_cannot_differentiate_twice_is_refused():
    assert discriminator(discriminator="mobilenetv3_small_050") is not None
    with pytest.raises(ModelError, match=r"cannot be trained with gan.penalty 'r1'.*hardsigmoid.*'resnet18'"):
        discriminator(discriminator="mobilenetv3_small_050", penalty="r1")


def test_batch_norm_gives_way_to_a_penalty_and_the_log_says_so(caplog):
    with caplog.at_level(logging.WARNING, logger="fedray"):
        critic = discriminator(objective="wgan-gp", discriminator="resnet18")
    assert "resnet18: 20 BatchNorm layers became GroupNorm" in caplog.text
    assert not couples_samples(critic.train())
    small = discriminator(objective="wgan-gp", discriminator="mobilenetv2_050")
    norms = [module for module in (*critic.modules(), *small.modules()) if isinstance(module, nn.GroupNorm)]
    assert all(norm.num_channels / norm.num_groups >= 8 for norm in norms), "a group of one pixel would be constant"
    assert couples_samples(discriminator(discriminator="resnet18").train())


@pytest.mark.parametrize("backbone", ["cnn", "resnet18", "mobilenetv2_050"])
def test_a_critic_keeps_samples_apart(backbone):
    """A per-sample penalty needs scores that do not depend on the other samples of the batch."""
    gan = Gan(config(objective="wgan-gp", discriminator=backbone), SHAPE, seed=0)
    tiles, condition = (
        torch.randn(4, 3, 32, 32),
        Condition(torch.tensor([0, 1, 0, 1]), torch.zeros(4, dtype=torch.int64)),
    )
    critic = gan.discriminator.train()
    alone = critic(tiles[:1], condition.chosen(slice(0, 1))).scores
    torch.testing.assert_close(critic(tiles, condition).scores[:1], alone, atol=1e-4, rtol=1e-4)


def test_spectral_norm_bounds_every_weight():
    critic = discriminator(objective="cgan-hinge").train()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(7.0)
        for _ in range(30):  # power iteration, one step a pass
            critic(torch.randn(2, 3, 32, 32), Condition(torch.tensor([0, 1]), torch.tensor([0, 0])))
        for module in critic.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(1.0, rel=0.05)


def test_wrong_combinations_are_refused_by_the_configuration():
    for fields, rule in (
        ({"freeze": True}, "gan.discriminator is 'cnn'"),
        ({"discriminator": "resnet18", "freeze": True}, "need gan.initialisation 'imagenet'"),
        ({"compile": True}, "gan.compile must be off with gan.penalty 'gradient'"),
    ):
        with pytest.raises(ValueError, match=rule):
            config(**fields)
