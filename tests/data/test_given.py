"""Tiles that somebody brings: their labels and pixels in the terms of a store, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from fedray.config import nearest_name
from fedray.data import StoreError, write_store
from fedray.data.decoding import decode_tile
from fedray.data.given import given_tiles
from tests.support.small import random_tiles


def write_pictures(folder, counts, size=16, ending="png", mode="RGB", seed=0):
    rng = np.random.default_rng(seed)
    written = {}
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).convert(mode)
            path = folder / label / f"{number}.{ending}"
            picture.save(path)
            written[path] = np.asarray(picture.convert("RGB"))
    return written


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_pictures_in_label_folders_keep_every_pixel(small_store, tmp_path, ending):
    written = write_pictures(tmp_path / "made", {"bright": 3, "dark": 2}, ending=ending)
    given = given_tiles(str(tmp_path / "made"), small_store)
    assert given.labels.tolist() == [1, 1, 1, 0, 0] and given.notes == ()
    np.testing.assert_array_equal(given.read(np.array([4, 0, 0])), [list(written.values())[i] for i in (4, 0, 0)])


def test_a_stores_labels_are_known_by_their_names(small_store, tmp_path):
    tiles = [tile._replace(label=1 - tile.label) for tile in random_tiles(seed=1)]
    store = write_store(tmp_path / "made", iter(tiles), label_names=["bright", "dark"])
    given = given_tiles(str(store.path), small_store)
    assert given.labels.tolist() == [1 - label for label in store.labels] and given.notes == ()
    np.testing.assert_array_equal(given.read(np.array([7, 2])), store.tiles([7, 2]))
    test = given_tiles(str(store.path), small_store, "test")
    np.testing.assert_array_equal(test.read(np.arange(20)), store.tiles(store.indices("test")))


def test_tiles_of_another_size_are_cut_and_resized_as_an_import_does_it(small_store, tmp_path):
    (tmp_path / "made" / "dark").mkdir(parents=True)
    path = tmp_path / "made" / "dark" / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)).save(path)
    given = given_tiles(str(tmp_path / "made"), small_store, resize=True)
    np.testing.assert_array_equal(given.read(np.array([0]))[0], decode_tile(path, 16).pixels)
    big = write_store(tmp_path / "big", random_tiles(size=32), label_names=["dark", "bright"])
    Image.fromarray(big.tiles([5])[0]).save(path)
    np.testing.assert_array_equal(
        given_tiles(str(big.path), small_store, resize=True).read(np.array([5]))[0], decode_tile(path, 16).pixels
    )


REFUSED = {
    "no folder": (lambda folder: None, "does not exist"),
    "nothing": (lambda folder: folder.mkdir(), "one folder of pictures a label, named 'dark', 'bright' as in small"),
    "no label folders": (
        lambda folder: [folder.mkdir(), Image.new("RGB", (16, 16)).save(folder / "a.png")],
        "but holds 1 picture(s) outside such folders",
    ),
    "another label": (
        lambda folder: write_pictures(folder, {"dark": 1, "brigth": 1}),
        "has tiles of 'brigth', but the labels of small are 'dark', 'bright'; give them the same names"
        + nearest_name("brigth", ["bright"]),
    ),
    "many other labels": (
        lambda folder: write_pictures(folder, dict.fromkeys("abcdefg", 1)),
        "has tiles of 'a', 'b', 'c', 'd' and 3 more",
    ),
    "another size": (lambda folder: write_pictures(folder, {"dark": 1}, 24), "has 24 x 24 px, but those of small have"),
    "a store of another size": (
        lambda folder: write_store(folder, random_tiles(size=32), label_names=["dark", "bright"]),
        "have 32 px, but those of small have 16; bring tiles of that size, or have these cut square and resized",
    ),
    "grey": (lambda folder: write_pictures(folder, {"dark": 2}, mode="L"), "the pictures are grey"),
    "damaged": (
        lambda folder: [path.write_bytes(b"\x89PNG\r\n\x1a\n") for path in write_pictures(folder, {"dark": 1})],
        "cannot decode the image",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_in_one_line(small_store, tmp_path, case):
    make, words = REFUSED[case]
    make(tmp_path / "made")
    with pytest.raises(StoreError) as refused:
        given = given_tiles(str(tmp_path / "made"), small_store)
        given.read(np.arange(len(given.labels)))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_has_no_split(small_store, tmp_path):
    write_pictures(tmp_path / "made", {"dark": 1})
    with pytest.raises(StoreError, match="a folder of pictures has no split 'test'"):
        given_tiles(str(tmp_path / "made"), small_store, "test")


def test_notes_say_what_scores_would_not(small_store, tmp_path):
    write_pictures(tmp_path / "made", {"dark": 2}, ending="jpg")
    write_pictures(tmp_path / "made", {"bright": 1, ".": 1})
    notes = given_tiles(str(tmp_path / "made"), small_store).notes
    assert notes == (
        "1 picture(s) outside the label folders are left out",
        "2 of 3 pictures are JPEG files, whose artefacts scores see; save tiles as PNG",
    )
    [same] = given_tiles(str(small_store.path), small_store).notes
    assert "the very store" in same
