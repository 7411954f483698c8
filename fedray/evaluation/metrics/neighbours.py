"""Which tiles are nearest in feature space, and how far: exactly, and block by block, so that memory is bounded."""

from collections.abc import Iterator
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.errors import EvaluationError

DISTANCES_AT_ONCE = 2**22
"""Of a block: bounds memory, to some 100 MB."""
ROUNDING = 1e-12
"""Share of the longest squared feature within which squared distances count as equal: float64 rounds a hundredth of it
away, and float32 features say nothing so small."""

Block = tuple[slice, slice, NDArray[np.float64]]
"""Rows and columns of a matrix of squared distances, and these."""


class Neighbours(NamedTuple):
    """The k nearest of M tiles to each of N, the nearest first; of equally near ones, the first of the M first."""

    squared: NDArray[np.float64]
    """Squared distances, [N, k], exact to :data:`ROUNDING`."""
    places: NDArray[np.int64]
    """Which of the M they are, [N, k]."""


def nearest_neighbours(tiles: NDArray[np.float32], among: NDArray[np.float32], num: int) -> Neighbours:
    """Find the nearest tiles among others, by comparing all pairs.

    Beside its arguments and results it holds a block of distances and its features alone, whatever N and M are.

    Args:
        tiles: [N, d].
        among: [M, d]; a tile that is in both sets is its own neighbour.
        num: k, how many for each.

    Raises:
        EvaluationError: M is less than k.
    """
    assert num >= 1
    if num > len(among):
        raise EvaluationError(f"the {num} nearest tiles must be found among at least {num}, but there are {len(among)}")
    squared, places = np.full((len(tiles), num), np.inf), np.full((len(tiles), num), -1, np.int64)
    for rows, columns, block in squared_distances(tiles, among):
        _keep_nearest(squared[rows], places[rows], block, columns.start)
    return Neighbours(squared, places)


def radii(tiles: NDArray[np.float32], neighbours: int) -> NDArray[np.float64]:
    """Squared distance of each tile, [n, d], to its k-th neighbour, [n]; the tile itself, at 0, is not counted.

    It is the least bit longer, so that copies of a neighbour are as near as the neighbour itself.
    """
    longest: np.float64 = np.einsum("nd,nd->n", tiles, tiles, dtype=np.float64).max()
    return nearest_neighbours(tiles, tiles, neighbours + 1).squared[:, neighbours] + ROUNDING * longest


def squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[Block]:
    """Compute the matrix of squared distances block by block, row of blocks by row; exact to :data:`ROUNDING`.

    From a matrix product: summed from differences they take ten times as long.
    """
    columns_at_once = min(len(b), isqrt(DISTANCES_AT_ONCE))
    for rows in _slices(len(a), DISTANCES_AT_ONCE // columns_at_once):
        x = a[rows].astype(np.float64)
        lengths = _squares(x)[:, np.newaxis]
        for columns in _slices(len(b), columns_at_once):
            y = b[columns].astype(np.float64)
            yield rows, columns, lengths + _squares(y) - 2 * (x @ y.T)


def all_squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Put the blocks together, [n, m]: of few tiles, which is for the caller to see to."""
    far = np.empty((len(a), len(b)))
    for rows, columns, block in squared_distances(a, b):
        far[rows, columns] = block
    return far


def _keep_nearest(
    squared: NDArray[np.float64], places: NDArray[np.int64], block: NDArray[np.float64], first: int
) -> None:
    """Let the nearest of a block's columns take the place of what is known, [n, k], and farther.

    A minimum after the other is taken out of the block: of a few this is quicker than to sort, and ties have an order.
    """
    row, found = np.arange(len(block)), []
    for _ in range(min(squared.shape[1], block.shape[1])):
        nearest = block.argmin(1)
        found.append((block[row, nearest], first + nearest))
        block[row, nearest] = np.inf
    candidates = np.column_stack([squared, *(distances for distances, _ in found)])
    order = np.argsort(candidates, axis=1, kind="stable")[:, : squared.shape[1]]
    squared[:] = np.take_along_axis(candidates, order, axis=1)
    places[:] = np.take_along_axis(np.column_stack([places, *(where for _, where in found)]), order, axis=1)


def _slices(num: int, at_once: int) -> Iterator[slice]:
    yield from (slice(start, min(start + at_once, num)) for start in range(0, num, at_once))


def _squares(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("nd,nd->n", tiles, tiles)
    return squares
