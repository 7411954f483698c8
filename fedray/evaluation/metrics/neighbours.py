"""Squared distances between tiles in feature space, and how far each tile's neighbours are."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DISTANCES_AT_ONCE = 2**22
"""Bounds memory, to some 100 MB."""
ROUNDING = 1e-12
"""Share of the longest squared feature within which squared distances count as equal: float64 rounds a hundredth of it
away, and float32 features say nothing so small."""


def radii(tiles: NDArray[np.float32], neighbours: int) -> NDArray[np.float64]:
    """Squared distance of each tile, [n, d], to its k-th neighbour, [n]; the tile itself, at 0, is not counted.

    It is the least bit longer, so that copies of a neighbour are as near as the neighbour itself.
    """
    parts = [np.partition(found, neighbours, axis=1)[:, neighbours] for _, found in squared_distances(tiles, tiles)]
    longest: np.float64 = _squares(tiles.astype(np.float64)).max()
    return np.concatenate(parts) + ROUNDING * longest


def squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Which rows of the matrix of squared distances, and these, some rows at a time; exact to :data:`ROUNDING`.

    From a matrix product: summed from differences they take ten times as long.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = _squares(y)
    at_once = max(1, DISTANCES_AT_ONCE // len(b))
    for start in range(0, len(a), at_once):
        rows = slice(start, start + at_once)
        yield rows, _squares(x[rows])[:, np.newaxis] + lengths - 2 * (x[rows] @ y.T)


def _squares(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("nd,nd->n", tiles, tiles)
    return squares
