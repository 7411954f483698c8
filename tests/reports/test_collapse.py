"""Labels whose tiles repeat each other are flagged, real ones are not."""

import numpy as np
import pytest

from fedray.reports import REPORTS, Judged
from fedray.reports.collapse import diversity_table
from fedray.testing import real_textures, texture_labels, texture_tiles

NUM = 60
"""Tiles of each label."""


def made(tiles):
    return REPORTS["collapse"].make(Judged("some", tiles, texture_labels(NUM), real_textures(NUM)))


def repeated(num, noise=0):
    """So many tiles of each label, again and again, each time with a little noise."""
    rng, tiles = np.random.default_rng(0), texture_tiles(9, NUM)
    places = np.concatenate([np.resize(np.arange(start, start + num), NUM) for start in (0, NUM)])
    return np.clip(tiles[places] + rng.normal(0, noise, tiles.shape), 0, 255).astype(np.uint8)


def drawn_to_the_mean(share):
    tiles = texture_tiles(9, NUM).astype(float)
    means = np.repeat([tiles[:NUM].mean(0), tiles[NUM:].mean(0)], NUM, axis=0)
    return (means + share * (tiles - means)).astype(np.uint8)


@pytest.mark.parametrize(
    "tiles",
    [repeated(1), repeated(8), repeated(20), repeated(1, noise=4), repeated(8, noise=4), drawn_to_the_mean(0.3)],
    ids=["one image", "8 images", "20 images", "one image and noise", "8 images and noise", "all near the mean"],
)
def test_labels_that_repeat_themselves_are_flagged(tiles):
    found = made(tiles)
    assert found.alarm is True and found.verdict.startswith("Collapsed: tiles of 2 of 2 labels are less than half")
    table = found.tables["labels"]
    assert (table[["spread", "nearest"]].min(axis=1) < 0.5).all()


def test_one_label_is_named():
    tiles = texture_tiles(9, NUM)
    tiles[NUM:] = tiles[-1]
    found = made(tiles)
    assert found.alarm is True and "tiles of 1 of 2 labels" in found.verdict and "stroma/16" in found.verdict
    assert found.tables["labels"]["flagged"].tolist() == [False, True]


def test_real_tiles_are_not_flagged():
    """In 24 draws, nor in any of those that the report itself makes."""
    for seed in range(24):
        assert not _rows(texture_tiles(400 + seed, NUM))["flagged"].any()
    found = made(texture_tiles(400, NUM))
    assert found.alarm is False and found.tables["labels"]["real draws flagged"].tolist() == [0, 0]
    assert "at least 9" in found.verdict or "at least 10" in found.verdict


def _rows(tiles):
    return diversity_table(Judged("some", tiles, texture_labels(NUM), real_textures(NUM)))
