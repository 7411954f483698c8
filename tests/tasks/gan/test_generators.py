"""Where noise enters a generator: tiles are a function of one vector, and every number of it counts."""

import numpy as np
import pytest
import torch

from fedray.data import TileShape
from fedray.learning import Condition
from fedray.randomness import torch_stream
from fedray.tasks.gan import Gan, LabelledGenerator
from tests.support.networks import config


def noisy(size=16, **fields):
    shape = TileShape(size=size, channels=3, num_labels=2)
    return Gan(config(**{"generator": "residual", "generator_noise": True, **fields}), shape, seed=0)


@pytest.mark.parametrize(
    ("size", "images"), [(16, [8, 8, 16, 16]), (24, [12, 12, 24, 24]), (56, [14, 14, 28, 28, 56, 56])]
)
def test_noise_is_a_vector_and_an_image_for_each_convolution_that_follows_an_enlargement(size, images):
    gan = noisy(size)
    assert gan.noise_length == 8 + sum(edge**2 for edge in images)
    noise = torch.randn(2, gan.noise_length, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tiles = gan.generator(noise, Condition(torch.tensor([0, 1]), torch.tensor([0, 0])))
    (gradient,) = torch.autograd.grad(tiles.square().sum(), noise)
    assert tiles.shape == (2, 3, size, size)
    assert (gradient != 0).all()


def test_without_it_noise_is_the_vector_alone():
    for generator in ("custom-cnn", "residual"):
        assert noisy(generator=generator, generator_noise=False).noise_length == 8


def test_tiles_are_the_same_whatever_the_batch_and_differ_in_detail_with_the_images():
    gan, labels = noisy(), np.array([0, 1, 1, 0, 1])
    tiles = gan.sample(labels, torch_stream(0, "sample"))
    np.testing.assert_array_equal(tiles, gan.sample(labels, torch_stream(0, "sample"), batch_size=2))
    noise = torch.randn(1, gan.noise_length, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    noise[1, 8:] += 1.0
    with torch.no_grad():
        first, second = LabelledGenerator(gan.generator_ema)(noise, torch.tensor([0, 0]))
    assert not torch.equal(first, second)


def test_the_custom_cnn_has_no_place_for_it():
    with pytest.raises(ValueError, match=r"gan.generator_noise is for gan.generator 'residual', but got 'custom-cnn'"):
        config(generator_noise=True)
