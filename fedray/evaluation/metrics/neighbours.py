"""Distances between tiles in feature space, and how far each tile's neighbours are."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DISTANCES_AT_ONCE = 2**22
"""Bounds memory, to some 100 MB."""


def radii(tiles: NDArray[np.float32], neighbours: int) -> NDArray[np.float64]:
    """Distance of each tile, [n, d], to its k-th neighbour, [n]; the tile itself, at 0, is not counted."""
    parts = [np.partition(found, neighbours, axis=1)[:, neighbours] for _, found in distances(tiles, tiles)]
    return np.concatenate(parts)


def distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Which rows of the matrix of distances, and the distances in them, some rows at a time.

    Each is summed from differences, not from a matrix product: equal pairs have equal distances, whatever their places.
    """
    from scipy.spatial.distance import cdist  # here: most of a second, and most processes evaluate nothing

    at_once = max(1, DISTANCES_AT_ONCE // len(b))
    for start in range(0, len(a), at_once):
        rows = slice(start, start + at_once)
        yield rows, cdist(a[rows], b)
