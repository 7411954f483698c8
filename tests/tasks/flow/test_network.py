"""The U-Net: what it takes, what it hangs on, how it begins."""

import pytest
import torch

from fedray.data import TileShape
from fedray.learning import Condition, ModelError
from fedray.tasks.flow.network import UNet, level_widths
from tests.support.flows import config, shaken

THREE = TileShape(size=16, channels=3, num_labels=3, num_domains=2)


def asked(network, shape, num=2, **changes):
    random = torch.Generator().manual_seed(0)
    points = torch.randn(num, shape.channels, shape.size, shape.size, generator=random)
    times = changes.get("times", torch.full((num,), 0.3))
    codes = [torch.full((num,), changes.get(name, 0)) for name in ("labels", "domains")]
    with torch.no_grad():
        return network(points, times, Condition(*codes))


@pytest.mark.parametrize(
    ("size", "channels", "patch"),
    [(16, 3, 1), (28, 1, 1), (28, 1, 4), (64, 3, 2), (30, 4, 2), (5, 3, 1), (8, 3, 4)],
)
def test_any_tile_has_a_velocity_of_its_shape(size, channels, patch):
    shape = TileShape(size, channels, 2)
    network = UNet(config(patch=patch), shape)
    assert not asked(network, shape).any(), "it begins with no velocity"
    found = asked(shaken(network), shape)
    assert found.shape == (2, channels, size, size) and found.isfinite().all() and found.std() > 0


@pytest.mark.parametrize(
    ("size", "patch", "widths"),
    [(32, 1, [8, 16, 32]), (32, 2, [8, 16]), (64, 1, [8, 16, 32, 32]), (8, 1, [8]), (30, 1, [8, 16, 32])],
)
def test_maps_are_halved_down_to_eight_pixels(size, patch, widths):
    assert level_widths(config(patch=patch), TileShape(size, 3, 2)) == widths


def test_a_patch_that_does_not_fit_is_refused():
    with pytest.raises(ModelError, match=r"flow.patch must divide the tile's edge, but got 4 for tiles of 30 px"):
        UNet(config(patch=4), TileShape(30, 3, 2))


@pytest.mark.parametrize("change", [{"labels": 1}, {"labels": -1}, {"domains": 1}, {"domains": -1}, {"times": None}])
def test_it_hangs_on_time_label_and_domain(change):
    if "times" in change:
        change = {"times": torch.full((2,), 0.8)}
    network = shaken(UNet(config(), THREE))
    assert not torch.allclose(asked(network, THREE), asked(network, THREE, **change), atol=1e-4)


def test_every_weight_has_a_gradient():
    network = shaken(UNet(config(blocks=2), THREE))
    points, codes = torch.randn(4, 3, 16, 16), torch.arange(4) % 2
    network(points, torch.linspace(0.1, 0.9, 4), Condition(codes, codes)).square().mean().backward()
    missing = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert missing == []


def test_a_tile_knows_nothing_of_the_others_of_its_batch():
    network = shaken(UNet(config(), THREE))
    points, codes = torch.randn(3, 3, 16, 16), torch.arange(3) % 2
    times = torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        together = network(points, times, Condition(codes, codes))
        alone = [network(points[[i]], times[[i]], Condition(codes[[i]], codes[[i]])) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
