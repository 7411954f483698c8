"""The picture of a generator: every pixel a square, real tiles above generated ones, bounded in size."""

import numpy as np
import pytest
from PIL import Image

from fedray.data import Tile, write_store
from fedray.results.pictures import BESIDE_OTHERS, WHOLE, draw_samples, save_samples

MARGIN, LINE, GAP = 84, 20, 2


@pytest.fixture
def made(tmp_path):
    """Make a store with one training tile a label, and a preview of 8 tiles a label, all random."""

    def make(size, names):
        random = np.random.default_rng(size)
        tiles = [
            Tile(random.integers(0, 256, (size, size, 3), np.uint8), label=label, domain=0, group=f"{label}",
                 split="train", source="") for label in range(len(names))
        ]  # fmt: skip
        store = write_store(tmp_path / f"{size}", tiles, label_names=names)
        return store, random.integers(0, 256, (len(names), 8, size, size, 3), np.uint8)

    return make


@pytest.mark.parametrize(
    ("bounds", "size", "num_labels", "scale", "columns", "shown"),
    [(WHOLE, 8, 1, 8, 8, 1), (WHOLE, 16, 2, 8, 8, 2), (WHOLE, 32, 2, 4, 8, 2), (WHOLE, 32, 9, 3, 8, 9),
     (WHOLE, 48, 2, 2, 8, 2), (WHOLE, 64, 2, 2, 8, 2), (WHOLE, 32, 40, 2, 8, 13), (WHOLE, 224, 2, 1, 4, 2),
     (WHOLE, 224, 12, 1, 4, 4), (WHOLE, 600, 2, 1, 2, 1), (BESIDE_OTHERS, 32, 9, 2, 8, 6),
     (BESIDE_OTHERS, 64, 2, 1, 8, 2), (BESIDE_OTHERS, 224, 3, 1, 2, 2)],
)  # fmt: skip
def test_tiles_are_whole_squares_and_the_picture_stays_bounded(made, bounds, size, num_labels, scale, columns, shown):
    store, preview = made(size, [f"label {number}" for number in range(num_labels)])
    picture = draw_samples(store, preview, "round 3", bounds)
    side = size * scale
    assert picture.dtype == np.uint8
    assert picture.shape == (LINE + shown * (LINE + 2 * (side + GAP)), MARGIN + columns * (side + GAP), 3)
    assert shown == 1 or picture.shape[0] <= LINE + bounds.height
    assert columns == 2 or picture.shape[1] <= MARGIN + bounds.width + 8 * GAP
    squares = np.ones((scale, scale, 1), np.uint8)
    for label in range(shown):
        top = 2 * LINE + label * (LINE + 2 * (side + GAP))
        [real] = store.tiles(np.flatnonzero(store.labels == label))
        for column in range(columns):
            left = MARGIN + column * (side + GAP)
            above = picture[top : top + side, left : left + side]
            below = picture[top + side + GAP : top + 2 * side + GAP, left : left + side]
            assert np.array_equal(above, np.kron(real, squares))
            assert np.array_equal(below, np.kron(preview[label, column], squares))


def heading(picture, line):
    return picture[line * LINE : (line + 1) * LINE]


def test_it_says_how_many_labels_it_shows(made):
    store, preview = made(32, [f"label {number}" for number in range(40)])
    whole = draw_samples(store, preview[:13], "round 3 (13 of 40 labels)")
    assert np.array_equal(draw_samples(store, preview, "round 3"), whole)
    assert not np.array_equal(heading(whole, 0), heading(draw_samples(store, preview[:13], "round 3"), 0))


@pytest.mark.parametrize("word", ["$x_1$", r"$\frac{$", "100$ or 50$", "a\nb", "µm Ki67 ≥ 14 %", "опухоль", "x" * 400])
def test_names_are_drawn_as_they_are(made, tmp_path, word):
    store, preview = made(16, [word, "other"])
    save_samples(tmp_path / "samples.png", store, preview, title=f"trial {word}")
    picture = np.asarray(Image.open(tmp_path / "samples.png"))
    inked = [int((heading(picture, line) < 128).any(axis=(0, 2)).sum()) for line in range(2)]
    assert min(inked) > 5 and (inked[0] > inked[1] or len(word) == 400)
    # one line, and within the picture: what is below and right of it is as it is without any word
    assert (heading(picture, 1)[:, -4:] == 255).all() and (heading(picture, 1)[-1] == 255).all()


def test_a_label_without_a_training_tile_has_no_real_ones(tmp_path):
    dark = np.zeros((16, 16, 3), np.uint8)
    tiles = [
        Tile(dark, label=label, domain=0, group=split, split=split, source="")
        for label, split in enumerate(["train", "test"])
    ]
    store = write_store(tmp_path / "store", tiles, label_names=["gland", "stroma"])
    picture = draw_samples(store, np.zeros((2, 8, 16, 16, 3), np.uint8), "round 1")
    block = LINE + 2 * (128 + GAP)
    for label, brightness in enumerate([0, 255]):
        top = 2 * LINE + label * block
        assert (picture[top : top + 128, MARGIN : MARGIN + 128] == brightness).all()
