"""The hand-made statistics: each against a direct computation, finite everywhere, and what they tell apart."""

import numpy as np
import pytest
from scipy.stats import kurtosis, skew
from skimage.color import rgb2hed

from fedray.data import TileStore
from fedray.evaluation import Evaluator
from fedray.evaluation import texture as module
from fedray.evaluation.destruction import DESTRUCTIONS
from fedray.evaluation.metrics.c2st import c2st
from fedray.evaluation.texture import texture

NOISE = 1 / 12


def tiles_of(size: int, channels: int, n: int = 3) -> np.ndarray:
    rng = np.random.default_rng(size + channels)
    return rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)


def by_hand(tile: np.ndarray) -> dict[str, float]:
    """All statistics of one RGB tile of 16 px, the slow way."""
    found = {}
    for channel, name in enumerate(("red", "green", "blue")):
        found[f"colour/{name}/mean"] = tile[..., channel].mean()
        found[f"colour/{name}/deviation"] = tile[..., channel].std()
    for stain, name in enumerate(("haematoxylin", "eosin", "DAB")):
        found[f"stain/{name}/mean"] = rgb2hed(tile)[..., stain].mean()
        found[f"stain/{name}/deviation"] = rgb2hed(tile)[..., stain].std()
    grey = tile.astype(np.float64).mean(2)
    magnitudes = np.array(
        [
            np.hypot(grey[y + 1, x] - grey[y, x], grey[y, x + 1] - grey[y, x])
            for y in range(len(grey) - 1)
            for x in range(len(grey) - 1)
        ]
    )
    found["gradient/log-mean"] = np.log(magnitudes.mean() + NOISE)
    found["gradient/skewness"] = skew(magnitudes) * (magnitudes.var() / (magnitudes.var() + NOISE)) ** 1.5
    kinds = [pattern_of(grey, y, x) for y in range(1, len(grey) - 1) for x in range(1, len(grey) - 1)]
    for kind in ("spot", "edge", "flat", "irregular"):
        found[f"pattern/{kind}"] = kinds.count(kind) / len(kinds)
    edge_px = 1
    while len(grey) >= 8:
        squares = grey.reshape(len(grey) // 2, 2, len(grey) // 2, 2).swapaxes(1, 2).reshape(-1, 4)
        signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
        details = (squares @ signs.T).ravel()
        energy = np.mean(details**2)
        found[f"wavelet/{edge_px}/log-energy"] = np.log(energy + NOISE)
        both_signs = np.concatenate([details, -details])  # about zero, whatever their mean
        found[f"wavelet/{edge_px}/kurtosis"] = kurtosis(both_signs, fisher=False) * (energy / (energy + NOISE)) ** 2
        grey = squares.sum(1).reshape(len(grey) // 2, -1) / 2
        edge_px *= 2
    return found


def pattern_of(grey: np.ndarray, y: int, x: int) -> str:
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    lighter = [round(3 * (grey[y + down, x + right] - grey[y, x])) >= 0 for down, right in ring]
    if sum(lighter[i] != lighter[i - 1] for i in range(8)) > 2:
        return "irregular"
    return {0: "spot", 4: "edge", 8: "flat"}.get(sum(lighter), "another")


def test_all_statistics_equal_those_by_hand(store: TileStore) -> None:
    tissue = store.tiles(store.indices("train")[:2])[:, :16, :16]
    tiles = np.concatenate([tiles_of(16, 3, 2), tissue])
    found = texture(tiles)
    for place, tile in enumerate(tiles):
        expected = by_hand(tile)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert found[name][place] == pytest.approx(value, rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [3, 8, 32, 50, 64])
def test_any_size_and_number_of_channels_gives_finite_columns(size: int, channels: int) -> None:
    constant = np.stack([np.full((size, size, channels), value, np.uint8) for value in (0, 128, 255)])
    tiles = np.concatenate([tiles_of(size, channels), constant])
    found = texture(tiles)
    assert all(column.shape == (6,) and column.dtype == np.float32 for column in found.values())
    assert np.isfinite(list(found.values())).all()
    assert any(name.startswith("stain") for name in found) == (channels == 3)
    levels = {int(name.split("/")[1]) for name in found if name.startswith("wavelet")}
    assert levels == {2**level for level in range({3: 1, 8: 1, 32: 3, 50: 3, 64: 4}[size])}


def test_tiles_are_measured_alone_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = tiles_of(24, 3, 7)
    together = texture(tiles)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 2 * 24 * 24)
    for name, column in texture(tiles).items():
        assert np.array_equal(column, together[name])


@pytest.mark.parametrize("turn", [lambda tiles: np.rot90(tiles, 1, (1, 2)), lambda tiles: tiles[:, :, ::-1]])
def test_turned_tiles_have_the_same_patterns_and_wavelets(turn) -> None:
    tiles = tiles_of(16, 3)
    found, turned = texture(tiles), texture(np.ascontiguousarray(turn(tiles)))
    for name in found:
        if not name.startswith("gradient"):  # its differences go down and to the right
            np.testing.assert_allclose(turned[name], found[name], rtol=1e-4, atol=1e-5)


def test_destroyed_tiles_are_told_apart_and_real_ones_hardly(
    store: TileStore, evaluator: Evaluator, real: np.ndarray
) -> None:
    reference = evaluator.reference.samples["texture"].features
    labels = evaluator.labels

    def told(name: str) -> float:
        destroyed = DESTRUCTIONS[name].apply(real, labels, np.random.default_rng(0))
        return c2st(reference, np.stack(list(texture(destroyed).values()), 1))

    floor = evaluator.floor["c2st/texture/256"]
    assert floor < 0.7
    clear = ("blur 1 px", "blur 2 px", "noise", "patches 1/4", "patches 1/8", "random phase", "JPEG 30")
    assert all(told(name) > 0.85 for name in clear)
    assert all(told(name) > floor + 0.05 for name in ("patches 1/2", "8 repeated", "stain shift"))
