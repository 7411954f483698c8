"""Small real tiles to make reports of: textures, a few of which look alike and none the same."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from fedray.data import Tile, write_store
from fedray.reports import RealTiles

LABEL_NAMES = ("gland", "<b>stroma/16 & $x", "lost")
"""Of all that a store may have: with a slash, with what a page or a chart might take for its own, and without tiles."""
NUM_TILES = 32
"""Of each label in each split."""
_SIZE = 8

_folders: list[TemporaryDirectory[str]] = []
"""Of the stores; they are gone with the process."""


@cache
def real_textures(num: int = NUM_TILES) -> RealTiles:
    """Make a store of textures, so many of each label in each split, and features of them; once."""
    splits = {"train": texture_tiles(0, num), "test": texture_tiles(1, num)}
    tiles = (
        Tile(image, label, 0, group=f"{split} {place}", split=split, source=f"{split} {place}")
        for split, images in splits.items()
        for place, (image, label) in enumerate(zip(images, texture_labels(num).tolist(), strict=True))
    )
    _folders.append(TemporaryDirectory(prefix="fedray-reports-"))
    store = write_store(Path(_folders[-1].name) / "store", tiles, label_names=LABEL_NAMES)
    return RealTiles(store, "some", _features)


def texture_labels(num: int = NUM_TILES) -> NDArray[np.int64]:
    """Labels of :func:`texture_tiles`, int64 [2 num]: of the first two, as many of each."""
    return np.repeat(np.arange(2), num)


def texture_tiles(seed: int, num: int = NUM_TILES) -> NDArray[np.uint8]:
    """Make textures, uint8 [2 num, 8, 8, 3]: waves of random direction, dark or bright by label, and a little noise."""
    rng, labels = np.random.default_rng(seed), texture_labels(num)
    across = np.arange(_SIZE) / _SIZE
    turns = rng.normal(size=(len(labels), 3, 2))[..., np.newaxis, np.newaxis]
    phases = rng.uniform(0, 6.28, (len(labels), 3, 1, 1))
    waves = np.sin(6 * (turns[:, :, 0] * across[:, np.newaxis] + turns[:, :, 1] * across) + phases)
    grey = 90 + 70 * labels[:, np.newaxis, np.newaxis, np.newaxis] + 30 * waves + rng.normal(0, 3, waves.shape)
    return np.ascontiguousarray(np.moveaxis(grey, 1, -1).clip(0, 255).astype(np.uint8))


def _features(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A fixed random network of one layer."""
    pixels = tiles.reshape(len(tiles), -1).astype(np.float32) / 255
    weights = np.random.default_rng(5).normal(size=(pixels.shape[1], 24)).astype(np.float32)
    return np.tanh((pixels - 0.5) @ weights / 4)
