import numpy as np
import pytest
import torch

from fedray.config import GanConfig
from fedray.models import Gan, Optimizers, TileShape, local_pass, steps_per_round
from fedray.models.local_pass import augment

SHAPE = TileShape(size=16, channels=3, num_labels=2)
CONFIG = GanConfig(latent_dim=8, generator_channels=8, discriminator_channels=8, batch_size=4, n_critic=3)


def client(num=10):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (num, 16, 16, 3), dtype=np.uint8), random.integers(0, 2, num)


def train(config=CONFIG, *, steps=4, before=0, seed=0, gan=None, optimizers=None):
    gan = gan or Gan(config, SHAPE, 0)
    report = local_pass(gan, optimizers or Optimizers(gan), *client(), num_steps=steps, steps_before=before, seed=seed)
    return gan, report


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.arrays().values(), second.arrays().values(), strict=True))


def test_the_same_seed_gives_the_same_arrays_and_leaves_the_global_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    config = CONFIG.model_copy(update={"dropout": 0.3})
    assert same(train(config)[0], train(config)[0])
    assert not same(train(config)[0], train(config, seed=1)[0])
    assert torch.equal(torch.rand(1), expected)


def test_the_generator_steps_after_every_n_critic_steps_counted_over_rounds():
    for before, steps, expected in [(0, 2, 0), (0, 3, 1), (2, 1, 1), (0, 9, 3), (4, 4, 1), (5, 1, 1)]:
        assert train(before=before, steps=steps)[1].generator_steps == expected


def test_without_a_generator_step_the_generator_stays_but_for_its_batch_statistics():
    before, (gan, report) = Gan(CONFIG, SHAPE, 0), train(steps=2)
    assert report.losses["generator/loss"] == 0.0
    for name, parameter in gan.generator.named_parameters():
        assert torch.equal(parameter, before.generator.get_parameter(name))


def test_wgan_step_equals_plain_pytorch():
    """One critic and one generator step against the same written out by hand."""
    config = CONFIG.model_copy(update={"n_critic": 1, "augment": False, "batch_size": 10, "gradient_penalty": 0.0})
    gan, _ = train(config, steps=1)
    plain = Gan(config, SHAPE, 0)
    plain.generator.train()
    from fedray.randomness import derive_seed  # the streams' addresses are the pass's own

    random = torch.Generator().manual_seed(derive_seed(0, "step"))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(derive_seed(0, "batches")))
    tiles, labels = client()
    real = torch.from_numpy(tiles)[order].permute(0, 3, 1, 2).float() / 127.5 - 1
    wanted = torch.from_numpy(labels)[order]
    critic = torch.optim.Adam(plain.discriminator.parameters(), 1e-4, (0.0, 0.9))
    artist = torch.optim.Adam(plain.generator.parameters(), 1e-4, (0.0, 0.9))
    fake = plain.generator(torch.randn(10, 8, generator=random), wanted).detach()
    (plain.discriminator(fake, wanted).mean() - plain.discriminator(real, wanted).mean()).backward()
    critic.step()
    torch.rand(10, 1, 1, 1, generator=random)  # the penalty's draw, whose weight is 0
    (-plain.discriminator(plain.generator(torch.randn(10, 8, generator=random), wanted), wanted).mean()).backward()
    artist.step()
    for name in ("generator", "discriminator"):
        for key, value in getattr(plain, name).state_dict().items():
            assert torch.allclose(getattr(gan, name).state_dict()[key].float(), value.float(), atol=1e-5), key


def test_kept_optimizers_make_two_passes_continue_adam():
    gan = Gan(CONFIG, SHAPE, 0)
    optimizers = Optimizers(gan)
    train(gan=gan, optimizers=optimizers, steps=4)
    restored = Optimizers(gan)
    restored.load(optimizers.arrays())
    again = restored.arrays()
    assert again.keys() == optimizers.arrays().keys()
    assert all(np.array_equal(again[name], value) for name, value in optimizers.arrays().items())


def test_a_loss_that_is_not_finite_ends_the_pass():
    gan = Gan(CONFIG, SHAPE, 0)
    with torch.no_grad():
        gan.discriminator.get_parameter("score.weight").fill_(float("nan"))
    _, report = train(gan=gan, steps=50)
    assert report.discriminator_steps == 1
    assert np.isnan(report.losses["discriminator/loss"])


def test_a_client_with_fewer_tiles_than_a_batch_uses_all_it_has():
    gan = Gan(CONFIG, SHAPE, 0)
    tiles, labels = client(1)
    report = local_pass(gan, Optimizers(gan), tiles, labels, num_steps=3, steps_before=0, seed=0)
    assert report.num_examples == 1
    assert report.discriminator_steps == 3


@pytest.mark.parametrize(("tiles", "epochs", "steps", "expected"), [(10, 1, None, 3), (8, 2, None, 4), (8, 2, 5, 5)])
def test_steps_per_round(tiles, epochs, steps, expected):
    assert steps_per_round(tiles, 4, epochs, steps) == expected


def test_augmentation_draws_all_eight_symmetries_of_each_tile():
    tile = torch.arange(9.0).view(1, 1, 3, 3)
    turned = augment(tile.expand(400, 1, 3, 3), torch.Generator().manual_seed(0))
    seen = {tuple(image.flatten().tolist()) for image in turned}
    base = tile[0, 0]
    symmetries = [torch.rot90(side, turns) for side in (base, base.flip(1)) for turns in range(4)]
    assert seen == {tuple(image.flatten().tolist()) for image in symmetries}
