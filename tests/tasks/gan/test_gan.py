import numpy as np
import pytest
import torch

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Condition, to_float, to_uint8
from fedray.randomness import torch_stream
from fedray.tasks.gan import GENERATOR_PARTS, PARTS, Gan, fresh_gan, gan_with

SHAPE = TileShape(size=16, channels=3, num_labels=2)
CONFIG = GanConfig(latent_dim=8, generator_channels=8, discriminator_channels=8)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = Gan(CONFIG, SHAPE, 1), Gan(CONFIG, SHAPE, 1), Gan(CONFIG, SHAPE, 2)
    assert torch.equal(torch.rand(1), expected)
    assert all(np.array_equal(a, b) for a, b in zip(first.arrays().values(), second.arrays().values(), strict=True))
    assert not np.array_equal(first.arrays()["generator.project.weight"], other.arrays()["generator.project.weight"])


def test_arrays_carry_their_part_and_round_trip():
    gan, other = Gan(CONFIG, SHAPE, 1), Gan(CONFIG, SHAPE, 2)
    assert {name.split(".")[0] for name in gan.arrays()} == set(PARTS)
    assert {name.split(".")[0] for name in gan.arrays(GENERATOR_PARTS)} == set(GENERATOR_PARTS)
    other.load(gan.arrays())
    assert all(np.array_equal(a, b) for a, b in zip(gan.arrays().values(), other.arrays().values(), strict=True))


def test_loading_one_part_leaves_the_others():
    gan, other = Gan(CONFIG, SHAPE, 1), Gan(CONFIG, SHAPE, 2)
    before = other.arrays(("discriminator",))
    other.load(gan.arrays(("generator",)))
    assert all(np.array_equal(before[name], value) for name, value in other.arrays(("discriminator",)).items())


def test_any_arrays_travel_alone():
    gan, other = Gan(CONFIG, SHAPE, 1), Gan(CONFIG, SHAPE, 2)
    before, all_names = other.arrays(), list(gan.arrays())
    names = [all_names[0], all_names[-1]]
    some = gan.arrays(names)
    assert list(some) == names and len({name.split(".")[0] for name in names}) == 2
    other.load(some)
    after = other.arrays()
    assert all(np.array_equal(after[name], (some if name in some else before)[name]) for name in before)
    assert not np.array_equal(before[names[0]], after[names[0]])


def test_arrays_of_another_network_are_refused():
    gan, wider = Gan(CONFIG, SHAPE, 1), Gan(CONFIG.model_copy(update={"generator_channels": 16}), SHAPE, 1)
    with pytest.raises(ValueError, match="do not fit the generator"):
        gan.load(wider.arrays())
    with pytest.raises(ValueError, match=r"do not fit the generator of this configuration: it has no 'more\.weight'"):
        gan.load({"generator.more.weight": np.zeros(1)})
    with pytest.raises(ValueError, match="there is no 'classifier' in this configuration, only generator, "):
        gan.load({"classifier.weight": np.zeros(1)})


def test_tiles_of_given_arrays_are_theirs_whatever_the_processes_networks_were_before():
    labels, averaged = np.array([0, 1, 1]), Gan(CONFIG, SHAPE, 1).arrays(("generator_ema",))
    fresh_gan(CONFIG, SHAPE, 7, "cpu", load_weights=False).load(Gan(CONFIG, SHAPE, 2).arrays())
    tiles = gan_with(averaged, CONFIG, SHAPE, 7, "cpu").sample(labels, torch_stream(0, "sample"))
    assert np.array_equal(tiles, Gan(CONFIG, SHAPE, 1).sample(labels, torch_stream(0, "sample")))
    fresh, built = fresh_gan(CONFIG, SHAPE, 7, "cpu", load_weights=False), Gan(CONFIG, SHAPE, 7)
    assert all(np.array_equal(a, b) for a, b in zip(fresh.arrays().values(), built.arrays().values(), strict=True))


def test_sampling_is_a_function_of_stream_and_labels():
    gan, labels = Gan(CONFIG, SHAPE, 1), np.array([0, 1, 1, 0, 1])
    tiles = gan.sample(labels, torch_stream(0, "sample"))
    assert tiles.shape == (5, 16, 16, 3)
    assert tiles.dtype == np.uint8
    assert np.array_equal(tiles, gan.sample(labels, torch_stream(0, "sample"), batch_size=2))
    assert not np.array_equal(tiles, gan.sample(1 - labels, torch_stream(0, "sample")))


def test_the_average_follows_the_formula():
    gan = Gan(CONFIG.model_copy(update={"ema_decay": 0.5}), SHAPE, 1)
    name = "generator_ema.project.weight"
    before = gan.arrays()[name]
    with torch.no_grad():
        gan.generator.get_parameter("project.weight").add_(1.0)
    gan.update_ema(num_updates=0)  # warm-up: decay 1/10
    assert np.allclose(gan.arrays()[name], before + 0.9, atol=1e-6)
    gan.update_ema(num_updates=1000)  # configured: decay 0.5
    assert np.allclose(gan.arrays()[name], before + 0.95, atol=1e-6)


def test_pixels_round_trip():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert np.array_equal(to_uint8(to_float(pixels)), pixels.numpy())


@pytest.mark.parametrize("generator", ["custom-cnn", "residual"])
@pytest.mark.parametrize("size", [16, 24, 32, 40, 64, 224])
def test_networks_take_every_tile_size(size, generator):
    gan = Gan(CONFIG.model_copy(update={"generator": generator}), TileShape(size, 3, 2), 0)
    condition = Condition(torch.tensor([0, 1]), torch.tensor([0, 0]))
    tiles = gan.generator(torch.randn(2, 8), condition)
    assert tiles.shape == (2, 3, size, size)
    assert tiles.abs().max() <= 1
    assert gan.discriminator(tiles, condition).scores.shape == (2,)


def test_the_residual_generator_heeds_the_domain_and_the_custom_cnn_does_not():
    shape = TileShape(16, 3, 2, num_domains=2)
    labels, domains = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    for generator, heeds in (("residual", True), ("custom-cnn", False)):
        gan = Gan(CONFIG.model_copy(update={"generator": generator}), shape, 1)
        tiles = [gan.sample(labels, torch_stream(0, "sample"), chosen) for chosen in (domains, 1 - domains)]
        assert np.array_equal(*tiles) != heeds
        assert gan.shape.num_domains == (2 if heeds else 1)


def test_bfloat16_computes_in_it_and_keeps_weights_and_tiles_in_float32():
    gan = Gan(CONFIG.model_copy(update={"precision": "bfloat16"}), SHAPE, 1)
    condition = Condition(torch.tensor([0, 1]), torch.tensor([0, 0]))
    noise = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    exact = gan.generator(noise, condition)
    with gan.autocast():
        rounded = gan.generator(noise, condition)
        assert gan.discriminator(rounded, condition).scores.dtype == torch.float32
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, atol=0.05, rtol=0.05)
    assert all(value.dtype == torch.float32 for value in gan.generator.parameters())
