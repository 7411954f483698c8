"""Destroyed tiles are destroyed in the one way that their name says, and in no other."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2hed

from fedray.data import TileStore
from fedray.evaluation.destruction import DESTRUCTIONS, NOISE_LEVEL, destroy, why_skipped
from fedray.testing import DestructionSuite


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_tiles(num: int, height: int, width: int, channels: int) -> np.ndarray:
    return rng(1).integers(0, 256, (num, height, width, channels), dtype=np.uint8)


def destroyed(name: str, tiles: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Destroy tiles in the one way there is."""
    (found,) = destroy(name, tiles, labels, rng)
    return found


@pytest.fixture(scope="module")
def tiles(store: TileStore) -> np.ndarray:
    return store.tiles(store.indices("train")[::10])


@pytest.fixture(scope="module")
def labels(store: TileStore) -> np.ndarray:
    return store.labels[store.indices("train")[::10]].astype(np.int64)


@pytest.mark.parametrize("destruction", DESTRUCTIONS.values(), ids=DESTRUCTIONS)
class TestDestructions(DestructionSuite):
    pass


@pytest.mark.parametrize(
    ("shape", "left_out"),
    [((32, 32, 3), []), ((32, 32, 1), ["stain shift"]), ((17, 30, 3), []), ((4, 5, 4), ["patches 1/8", "stain shift"])],
)
def test_little_is_left_out(shape: tuple[int, int, int], left_out: list[str]) -> None:
    assert [name for name in DESTRUCTIONS if why_skipped(name, shape, np.arange(70) % 3)] == left_out


def test_what_does_not_apply_is_said() -> None:
    one, two = np.zeros(63, np.int64), np.arange(64) % 2
    assert why_skipped("labels permuted", (32, 32, 3), one) == "all tiles have one label"
    assert why_skipped("32 repeated", (32, 32, 3), one) == "63 tiles are fewer than two for each that is kept"
    assert why_skipped("32 repeated", (32, 32, 3), two) is None
    assert why_skipped("stain shift", (32, 32, 1), two) == "tiles of 1 channel(s) have no stain"
    assert why_skipped("patches 1/8", (4, 32, 3), two) == "tiles of 4 x 32 px have no 8 x 8 patches"


@pytest.mark.parametrize("sigma", [1, 2])
def test_blur_is_a_gaussian_of_that_many_pixels(tiles: np.ndarray, labels: np.ndarray, sigma: int) -> None:
    found = destroyed(f"blur {sigma} px", tiles, labels, rng())
    expected = gaussian_filter(tiles.astype(float), (0, sigma, sigma, 0))
    assert np.abs(found - expected).max() <= 0.5 + 1e-9


def test_jpeg_is_what_pillow_writes_and_reads(tiles: np.ndarray, labels: np.ndarray) -> None:
    found, grey = destroyed("JPEG 30", tiles, labels, rng()), destroyed("JPEG 30", tiles[..., :1], labels, rng())
    for result, picture in (
        (found[3], Image.fromarray(tiles[3])),
        (grey[3, ..., 0], Image.fromarray(tiles[3, ..., 0])),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=30)
        assert np.array_equal(result, np.asarray(Image.open(buffer)))


def test_noise_has_its_level_and_no_bias() -> None:
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    added = destroyed("noise", grey, np.zeros(20, np.int64), rng()).astype(float) - 128
    assert added.std() == pytest.approx(NOISE_LEVEL, rel=0.02)
    assert abs(added.mean()) < 0.3
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("parts", [2, 4, 8])
@pytest.mark.parametrize("edges", [(32, 32), (29, 19)])
def test_shuffling_moves_whole_patches_and_nothing_else(parts: int, edges: tuple[int, int]) -> None:
    tiles = random_tiles(6, *edges, 3)
    found = destroyed(f"patches 1/{parts}", tiles, np.zeros(6, np.int64), rng())
    height, width = edges[0] // parts, edges[1] // parts
    top, left = (edges[0] - parts * height) // 2, (edges[1] - parts * width) // 2

    def patches(tile: np.ndarray) -> list[bytes]:
        corners = [(top + i * height, left + j * width) for i in range(parts) for j in range(parts)]
        return [tile[y : y + height, x : x + width].tobytes() for y, x in corners]

    outside = np.ones(edges, bool)
    outside[top : top + parts * height, left : left + parts * width] = False
    orders = set()
    for before, after in zip(tiles, found, strict=True):
        assert sorted(patches(before)) == sorted(patches(after))
        assert np.array_equal(before[outside], after[outside])
        orders.add(tuple(patches(before).index(patch) for patch in patches(after)))
    assert len(orders) > 1  # each tile has an order of its own


def test_random_phase_keeps_the_spectrum_the_mean_and_the_colours() -> None:
    smooth = gaussian_filter(rng().normal(size=(8, 32, 32, 3)), (0, 2, 2, 0)) @ np.array(
        [[1.0, 0.8, 0.2], [0, 0.5, 0.1], [0, 0, 0.3]]
    )
    tiles = np.rint(128 + 60 * smooth / np.abs(smooth).max()).astype(np.uint8)  # far from 0 and 255: nothing is clipped
    found = destroyed("random phase", tiles, np.zeros(8, np.int64), rng())
    spectra = [np.abs(np.fft.fft2(each.astype(float), axes=(1, 2))) for each in (tiles, found)]
    assert np.abs(spectra[0] - spectra[1]).max() < 0.5 * np.sqrt(2) * 32 * 2  # rounding to whole grey levels
    assert np.abs(tiles.mean((1, 2)) - found.mean((1, 2))).max() < 0.05
    for before, after in zip(tiles, found, strict=True):
        colours = [np.corrcoef(each.reshape(-1, 3).T) for each in (before, after)]
        np.testing.assert_allclose(colours[0], colours[1], atol=0.02)
        assert abs(np.corrcoef(before[..., 0].ravel(), after[..., 0].ravel())[0, 1]) < 0.7


@pytest.mark.parametrize("kept", [8, 32])
def test_repeating_keeps_a_few_tiles_of_each_label_in_proportion(kept: int) -> None:
    tiles, labels = random_tiles(128, 8, 8, 3), rng().permutation(np.repeat([0, 1, 3], [94, 33, 1]))
    found = destroyed(f"{kept} repeated", tiles, labels, rng())
    num_kept = {}
    for label in (0, 1, 3):
        originals = {tile.tobytes() for tile in tiles[labels == label]}
        used, counts = np.unique([tile.tobytes() for tile in found[labels == label]], return_counts=True)
        assert set(used) <= originals
        assert counts.max() - counts.min() <= 1
        num_kept[label] = len(used)
    assert num_kept[3] == 1  # one at least
    assert abs(num_kept[0] + num_kept[1] - kept) <= 1
    assert abs(num_kept[0] - kept * 94 / 128) <= 1


@pytest.mark.parametrize("counts", [(32, 32), (40, 20, 10), (10, 3), (9, 8, 7, 6)])
def test_permuting_gives_each_label_tiles_of_other_labels(counts: tuple[int, ...]) -> None:
    tiles, labels = random_tiles(sum(counts), 8, 8, 3), rng().permutation(np.repeat(np.arange(len(counts)), counts))
    found = destroyed("labels permuted", tiles, labels, rng())
    assert sorted(tile.tobytes() for tile in found) == sorted(tile.tobytes() for tile in tiles)
    label_of = {tile.tobytes(): label for tile, label in zip(tiles, labels, strict=True)}
    kept = sum(label_of[tile.tobytes()] == label for tile, label in zip(found, labels, strict=True))
    assert kept == max(0, 2 * max(counts) - sum(counts))  # tiles of the others do not suffice for the largest


def test_a_stain_shift_strengthens_haematoxylin_and_weakens_the_others_and_the_other_way_round(
    tiles: np.ndarray, labels: np.ndarray
) -> None:
    bluer, redder = destroy("stain shift", tiles, labels, rng())
    before, *after = (rgb2hed(np.maximum(each, 8)).mean((0, 1, 2)) for each in (tiles, bluer, redder))
    for found, haematoxylin, others in zip(after, (1.25, 0.75), (0.75, 1.25), strict=True):
        assert found[0] / before[0] == pytest.approx(haematoxylin, abs=0.08)
        assert found[2] / before[2] == pytest.approx(others, abs=0.08)
