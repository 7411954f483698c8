import numpy as np
import pytest
import torch

from fedray.learning.augmentation import DIFF_AUGMENTS, colour_translation_cutout, translation, turn_and_flip
from fedray.tasks.gan import Gan, Optimizers
from fedray.tasks.gan.steps import GanSteps
from tests.support.networks import SHAPE, batch, config


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_turns_and_flips_draw_all_eight_symmetries_of_each_tile():
    tile = torch.arange(9.0).view(1, 1, 3, 3)
    turned = turn_and_flip(tile.expand(400, 1, 3, 3), stream())
    seen = {tuple(image.flatten().tolist()) for image in turned}
    base = tile[0, 0]
    symmetries = [torch.rot90(side, turns) for side in (base, base.flip(1)) for turns in range(4)]
    assert seen == {tuple(image.flatten().tolist()) for image in symmetries}


def test_colour_shift_and_hole_follow_the_papers_ranges():
    size = 32
    tiles = torch.full((500, 3, size, size), 0.3)
    out = colour_translation_cutout(tiles, stream())
    assert out.shape == tiles.shape
    holes, levels = [], []
    for tile in out:
        grey = tile[0] == 0
        holes.append(int(grey.sum()))
        levels.append(tile[0][~grey].mean().item() if (~grey).any() else 0.3)
    assert max(holes) <= size * size // 4 + 2 * 4 * size  # the square, and what was shifted in
    assert min(holes) >= (size // 4) ** 2  # a corner of the square is always inside
    assert -0.2 - 1e-6 <= min(levels) < -0.1
    assert 0.7 < max(levels) <= 0.8 + 1e-6


def test_translation_moves_by_at_most_an_eighth():
    tiles = torch.zeros(300, 1, 32, 32)
    tiles[:, :, 16, 16] = 1.0
    where = translation(tiles, stream()).flatten(2).argmax(2).squeeze(1)
    rows, columns = (where // 32 - 16).tolist(), (where % 32 - 16).tolist()
    assert set(rows) == set(columns) == set(range(-4, 5))


@pytest.mark.parametrize("name", DIFF_AUGMENTS)
def test_gradients_pass_and_pixels_are_only_moved_or_scaled(name):
    tiles = batch()[0].requires_grad_()
    out = DIFF_AUGMENTS[name](tiles, stream())
    out.square().sum().backward()
    assert tiles.grad.isfinite().all()
    assert (tiles.grad.flatten(1).abs().sum(1) > 0).all()


def test_real_and_generated_tiles_are_augmented_alike_in_both_steps(monkeypatch):
    seen = []

    def watched(tiles, random):
        seen.append(tiles.requires_grad)
        return tiles

    monkeypatch.setitem(DIFF_AUGMENTS, "histology", watched)
    gan = Gan(config(objective="cgan", diff_augment="histology"), SHAPE, seed=0)
    steps = GanSteps(gan, Optimizers(gan), stream())
    real, _, condition = batch()
    steps.discriminator(real, condition)
    steps.generator(condition)
    assert seen == [False, False, True]


def test_histology_is_a_symmetry_for_each_tile():
    real = batch()[0]
    out = DIFF_AUGMENTS["histology"](real, stream())
    for before, after in zip(real, out, strict=True):
        np.testing.assert_allclose(before.flatten().sort().values, after.flatten().sort().values)
