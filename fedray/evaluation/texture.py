"""Hand-made statistics of tiles: colours, stains, gradients, local binary patterns, wavelets.

They need no training and no weights, no discriminator was trained against them, and each has a name that a person can
check by eye.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXTURE = "texture"
"""Name of these features in scores: ``c2st/texture/<n>``."""

PIXELS_AT_ONCE = 2**20
"""Pixels of tiles in work together: bounds memory, to some 100 MB."""

GREY_NOISE = 1 / 12
"""Variance that rounding to whole grey levels leaves. Ratios and logarithms begin there: constant tiles stay finite."""

Floats = NDArray[np.float32]
Columns = dict[str, Floats]
"""Statistics by name, each float32 [n]."""


def texture(tiles: NDArray[np.uint8]) -> Columns:
    """Compute the statistics of each tile alone, by name, float32 [n] and finite.

    - ``colour/<channel>/mean``, ``.../deviation``: in grey levels.
    - ``stain/<stain>/mean``, ``.../deviation``: optical densities of haematoxylin, eosin and DAB (Ruifrok and Johnston
      2001, as scikit-image separates them); of tiles with three channels alone.
    - ``gradient/log-mean``, ``gradient/skewness``: of the magnitude of the gradient.
    - ``pattern/spot``, ``/edge``, ``/flat``, ``/irregular``: shares of the local binary patterns of 3 x 3 pixels, the
      same for all turns (Ojala et al. 2002, "riu2"): of the 8 neighbours none, 4 or all are not darker than the middle,
      or those that are not do not lie in one run.
    - ``wavelet/<px>/log-energy``, ``.../kurtosis``: of the Haar details between squares of that many pixels, in all
      directions: how strong, and how heavy their tails are. The squares double until the shorter edge has 4 to 7.

    Gradients, patterns and wavelets are those of the mean of all channels. Few columns on purpose: more of them, such
    as all ten patterns, told real tiles of one part of a slide from those of another, and generated tiles no better.

    Args:
        tiles: uint8 [n, H, W, C] in [0, 255]: n >= 1, H and W >= 3, C >= 1.
    """
    num_tiles, height, width, _ = tiles.shape
    at_once = max(1, PIXELS_AT_ONCE // (height * width))
    parts = [_texture(tiles[start : start + at_once]) for start in range(0, num_tiles, at_once)]
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in parts[0]}


def as_features(statistics: Columns) -> Floats:
    """Put statistics side by side, in their order, float32 [n, d]."""
    return np.stack(list(statistics.values()), axis=1)


def _texture(tiles: NDArray[np.uint8]) -> Columns:
    total = tiles[..., 0].astype(np.int32)  # whole numbers: equal neighbours stay exactly equal
    for channel in range(1, tiles.shape[3]):  # a quarter of the time of sum(3)
        total += tiles[..., channel]
    grey: Floats = total.astype(np.float32) / np.float32(tiles.shape[3])
    stains = _stains(tiles) if tiles.shape[3] == 3 else {}
    return _colours(tiles) | stains | _gradients(grey) | _patterns(total) | _wavelets(grey)


def _colours(tiles: NDArray[np.uint8]) -> Columns:
    names = ("red", "green", "blue") if tiles.shape[3] == 3 else [str(channel) for channel in range(tiles.shape[3])]
    return _mean_and_deviation({f"colour/{name}": tiles[..., channel] for channel, name in enumerate(names)})


def _stains(tiles: NDArray[np.uint8]) -> Columns:
    from skimage.color import rgb2hed  # here: most processes evaluate nothing

    densities = rgb2hed(tiles.astype(np.float32) / 255)
    names = ("haematoxylin", "eosin", "DAB")
    return _mean_and_deviation({f"stain/{name}": densities[..., stain] for stain, name in enumerate(names)})


def _mean_and_deviation(planes: Mapping[str, NDArray[Any]]) -> Columns:
    found: Columns = {}
    for name, plane in planes.items():
        values = _rows(plane)
        found |= {f"{name}/mean": values.mean(1), f"{name}/deviation": values.std(1)}
    return found


def _gradients(grey: Floats) -> Columns:
    here = grey[:, :-1, :-1]
    down, right = grey[:, 1:, :-1] - here, grey[:, :-1, 1:] - here
    magnitudes = _rows(np.sqrt(down * down + right * right))  # a tenth of hypot's time; nothing here overflows
    mean = magnitudes.mean(1)
    centred = magnitudes - mean[:, np.newaxis]
    scale = magnitudes.var(1) + GREY_NOISE
    return {
        "gradient/log-mean": np.log(mean + GREY_NOISE),
        "gradient/skewness": (centred * centred * centred).mean(1) / scale**1.5,  # ** 3 takes ten times as long
    }


def _patterns(total: NDArray[np.int32]) -> Columns:
    height, width = total.shape[1:]
    middle = total[:, 1:-1, 1:-1]
    codes = np.zeros(middle.shape, np.uint8)
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # in one turn, as runs are counted
    for bit, (down, right) in enumerate(around):
        neighbour = total[:, down : height - 2 + down, right : width - 2 + right]
        codes |= (neighbour >= middle).view(np.uint8) << np.uint8(bit)
    places = codes + 256 * np.arange(len(codes))[:, np.newaxis, np.newaxis]
    counts = np.bincount(places.ravel(), minlength=256 * len(codes)).reshape(-1, 256)
    return {f"pattern/{name}": counts @ are / middle[0].size for name, are in _CODES.items()}


def _codes_of_patterns() -> dict[str, NDArray[np.bool_]]:
    """Which codes of neighbourhoods, [256], a bit for each neighbour in turn, are one pattern."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1, bitorder="little")
    in_one_run = (bits != np.roll(bits, 1, axis=1)).sum(1) <= 2
    lighter = bits.sum(1)
    return {"spot": lighter == 0, "edge": in_one_run & (lighter == 4), "flat": lighter == 8, "irregular": ~in_one_run}


_CODES = _codes_of_patterns()


def _wavelets(grey: Floats) -> Columns:
    found: Columns = {}
    edge_px = 1
    while min(grey.shape[1:]) >= 8 or not found:
        height, width = (edge // 2 * 2 for edge in grey.shape[1:])
        a, b = grey[:, 0:height:2, 0:width:2], grey[:, 0:height:2, 1:width:2]
        c, d = grey[:, 1:height:2, 0:width:2], grey[:, 1:height:2, 1:width:2]
        # halves: an orthonormal transform, so noise has the same energy at all levels
        details = _rows(np.stack([a + b - c - d, a - b + c - d, a - b - c + d], axis=1)) / np.float32(2)
        squares = np.square(details)
        energy = squares.mean(1) + GREY_NOISE
        found[f"wavelet/{edge_px}/log-energy"] = np.log(energy)
        found[f"wavelet/{edge_px}/kurtosis"] = np.square(squares).mean(1) / np.square(energy)
        grey, edge_px = (a + b + c + d) / np.float32(2), 2 * edge_px
    return found


def _rows(values: NDArray[Any]) -> Floats:
    return values.astype(np.float32, copy=False).reshape(len(values), -1)
