import re
from collections import Counter

import numpy as np
import pytest
import skimage
import skimage.data

from fedray.config import DataConfig
from fedray.data import TileStore, open_store
from fedray.data.colon import DOMAINS, build_colon, find_places, tissue_masks
from fedray.data.scanners import SCANNERS, render

PICTURE = skimage.data.immunohistochemistry()


@pytest.mark.parametrize("tile_size", [16, 32, 64, 104, 128, 200, 256])
def test_no_two_groups_share_a_pixel(tile_size: int) -> None:
    owner: dict[str, np.ndarray] = {}
    for place in find_places(PICTURE, tile_size):
        mask = owner.setdefault(place.group, np.zeros(PICTURE.shape[:2], dtype=bool))
        mask[place.top : place.top + tile_size, place.left : place.left + tile_size] = True
        assert place.group.startswith(place.split)
        assert place.top + tile_size <= 512 and place.left + tile_size <= 512
    assert np.sum(list(owner.values()), axis=0).max() == 1


def test_the_documented_counts_are_the_counts() -> None:
    assert build_colon.__doc__ is not None
    table = re.findall(r"\|[ \d|]+\|\n", build_colon.__doc__)
    rows = [[int(cell) for cell in re.findall(r"\d+", row)] for row in table]
    assert len(rows) == 5
    for tile_size, *counts in rows:
        found = Counter((place.split, place.label) for place in find_places(PICTURE, tile_size))
        assert [found[split, label] for split in ("train", "test") for label in (0, 1)] == counts


def test_the_labels_are_what_a_pathologist_sees() -> None:
    """Rows and columns read off the picture: epithelium, connective tissue, the lumen of a gland, a vessel."""
    gland, stroma = tissue_masks(PICTURE)
    for row, column in [(100, 100), (150, 400), (450, 100), (400, 310), (20, 250)]:
        assert gland[row, column] and not stroma[row, column]
    for row, column in [(280, 200), (270, 290), (100, 490), (420, 200), (300, 480)]:
        assert stroma[row, column] and not gland[row, column]
    for row, column in [(340, 10), (440, 15), (480, 10), (130, 340), (430, 445)]:
        assert not stroma[row, column] and not gland[row, column]


@pytest.mark.parametrize("tile_size", range(16, 257, 48))
def test_every_domain_has_every_label_in_both_splits(tile_size: int) -> None:
    store = open_store(DataConfig(tile_size=tile_size, num_domains=4))
    seen = set(zip(store.splits.tolist(), store.labels.tolist(), store.domains.tolist(), strict=True))
    assert len(seen) == 2 * 2 * 4
    assert store.domain_names == DOMAINS


def test_a_group_has_one_split(colon: TileStore) -> None:
    assert len({(g, s) for g, s in zip(colon.groups.tolist(), colon.splits.tolist(), strict=True)}) == 8
    assert len(colon.group_names) == 8


def test_one_domain_is_the_picture_itself() -> None:
    store = open_store(DataConfig())
    for index in (0, len(store) - 1):
        row, column = (int(number) for number in re.findall(r"\d+", store.sources([index])[0]))
        np.testing.assert_array_equal(store.tiles([index])[0], PICTURE[row : row + 32, column : column + 32])


def test_the_first_domain_of_several_is_unchanged_and_the_others_differ(colon: TileStore) -> None:
    plain = open_store(DataConfig())
    np.testing.assert_array_equal(plain.labels, colon.labels)
    change = np.abs(plain.tiles(slice(None)).astype(int) - colon.tiles(slice(None))).mean(axis=(1, 2, 3))
    assert change[colon.domains == 0].max() == 0
    assert change[colon.domains == 1].min() > 0.5 and change[colon.domains == 2].min() > 0.5


def test_rendering_a_side_alone_keeps_test_pixels_out_of_training_tiles() -> None:
    store = open_store(DataConfig(num_domains=4))
    blurred = store.indices("train")[store.domains[store.indices("train")] == 2]
    left_side = render(PICTURE[:, :320], SCANNERS["strong-blue-blurred"])
    for index in blurred[::10]:
        row, column = (int(number) for number in re.findall(r"\d+", store.sources([index])[0]))
        np.testing.assert_array_equal(store.tiles([index])[0], left_side[row : row + 32, column : column + 32])


def test_the_scanners_render_what_they_always_did() -> None:
    """The stores that exist hang on it, digit for digit: written out as it was before scanners had steps."""
    for name, stains, blur_px in (
        ("pale-dab", (1.15, 1.0, 0.65), 0.0),
        ("strong-blue-blurred", (1.7, 1.0, 1.0), 0.8),
        ("dark-dab-blurred", (0.8, 1.0, 1.35), 0.5),
    ):
        visible = np.maximum(PICTURE[:128], 8)
        change = skimage.color.rgb2hed(visible) * (np.asarray(stains) - 1)
        image = visible / 255 * np.exp(np.log(1e-6) * (change @ skimage.color.rgb_from_hed))
        image = skimage.filters.gaussian(image, sigma=blur_px, channel_axis=-1) if blur_px else image
        expected = (image.clip(0, 1) * 255).round().astype(np.uint8)
        np.testing.assert_array_equal(render(PICTURE[:128], SCANNERS[name]), expected)


def test_the_store_is_the_one_that_it_always_was() -> None:
    store = open_store(DataConfig(tile_size=32, num_domains=4))
    assert store.fingerprint == "2e055bcc252d72818d6fce2229732b4f"
