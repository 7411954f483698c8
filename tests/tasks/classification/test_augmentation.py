"""The geometric augmentation against torchvision's, and what it must leave as it is."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from fedray.tasks.classification.augmentation import AUGMENTS, LARGEST_ANGLE, SMALLEST_AREA, geometric, resample


def smooth(num=2, size=32):
    """Tiles whose resampling errs little, with a direction of their own."""
    coarse = torch.rand(num, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")


def moved(tiles, scale=1.0, degrees=0.0, right=0.0, down=0.0, flip=False):
    num = len(tiles)
    values = (scale, np.deg2rad(degrees), right, down)
    return resample(tiles, *(torch.full((num,), float(value)) for value in values), torch.full((num,), flip))


@pytest.mark.parametrize("degrees", [-45.0, -10.0, 30.0, 90.0])
@pytest.mark.parametrize("flip", [False, True])
def test_rotation_and_flip_are_torchvisions(degrees, flip):
    tiles = smooth()
    expected = tv.rotate(tiles, degrees, InterpolationMode.BILINEAR)
    expected = tv.horizontal_flip(expected) if flip else expected
    inside = slice(10, 22)  # where no corner reaches, whatever the angle
    torch.testing.assert_close(
        moved(tiles, degrees=degrees, flip=flip)[..., inside, inside], expected[..., inside, inside], atol=1e-3, rtol=0
    )


def test_a_crop_is_torchvisions():
    tiles = smooth()
    # 24 of 32 px, from column 6 and row 2: centres of the crop and of the tile are 2 and -2 px apart
    expected = tv.resized_crop(tiles, 2, 6, 24, 24, [32, 32], InterpolationMode.BILINEAR, antialias=False)
    found = moved(tiles, scale=24 / 32, right=2 / 16, down=-2 / 16)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=0)


def test_without_any_movement_the_tiles_stay():
    torch.testing.assert_close(moved(smooth()), smooth(), atol=1e-5, rtol=0)


def test_draws_are_within_their_ranges_differ_by_tile_and_come_from_the_stream_alone(monkeypatch):
    seen = []

    def record(tiles, *drawn):
        seen.append(drawn)
        return tiles

    monkeypatch.setattr("fedray.tasks.classification.augmentation.resample", record)
    tiles = torch.zeros(4000, 1, 2, 2)
    before = torch.get_rng_state()
    for _ in range(2):
        geometric(tiles, torch.Generator().manual_seed(3))
    assert torch.equal(before, torch.get_rng_state())
    (scale, angle, right, down, flip), again = seen
    assert all(torch.equal(one, other) for one, other in zip((scale, angle, right, down, flip), again, strict=True))
    area, degrees = scale.square(), torch.rad2deg(angle)
    assert SMALLEST_AREA <= area.min() < SMALLEST_AREA + 0.01 and 0.99 < area.max() <= 1
    assert area.mean() == pytest.approx((1 + SMALLEST_AREA) / 2, abs=0.01)
    assert -LARGEST_ANGLE <= degrees.min() < -44 and 44 < degrees.max() <= LARGEST_ANGLE
    assert flip.float().mean() == pytest.approx(0.5, abs=0.03)
    for shift in (right, down):
        assert (shift.abs() + scale <= 1 + 1e-6).all(), "the square stays within the tile"
        assert shift.min() < -0.15 and shift.max() > 0.15


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_augmentation_keeps_shape_and_range(name):
    tiles = torch.rand(5, 3, 16, 16) * 2 - 1
    changed = AUGMENTS[name](tiles, torch.Generator().manual_seed(0))
    assert changed.shape == tiles.shape and changed.dtype == torch.float32
    assert changed.min() >= tiles.min() - 1e-6 and changed.max() <= tiles.max() + 1e-6
    assert torch.equal(changed, tiles) == (name == "none")
