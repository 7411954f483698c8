"""What a process trains on: a client's tiles in memory, and what all tiles of an experiment have in common."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


class TileShape(NamedTuple):
    """What a network must produce or read."""

    size: int
    """Edge of the square tile in pixels."""
    channels: int
    """Colour channels."""
    num_labels: int
    """Labels that condition the networks."""
    num_domains: int = 1
    """Scanner domains that condition the networks; 1: none does."""


class LabelledTiles(NamedTuple):
    """A client's tiles."""

    tiles: NDArray[np.uint8]
    """[N, H, W, C]."""
    labels: NDArray[np.int64]
    """[N]."""
    domains: NDArray[np.int64]
    """[N]."""

    def chosen(self, indices: slice) -> "LabelledTiles":
        """Take some of them."""
        return LabelledTiles(self.tiles[indices], self.labels[indices], self.domains[indices])


def joined(first: LabelledTiles, second: LabelledTiles) -> LabelledTiles:
    """Put tiles one after the other."""
    return LabelledTiles(
        np.concatenate([first.tiles, second.tiles]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.domains, second.domains]),
    )


def count_clipped(shape: TileShape, labels: Codes, domains: Codes, groups: Codes, limit: float) -> NDArray[np.float64]:
    """Count labels with domains so that no group counts for more than a limit, float64 [label, domain].

    The counts of each group are scaled down to a Euclidean length of ``limit`` where they are longer: a group more or
    less, whatever it has, changes all counts together by ``limit`` at most.

    Args:
        shape: Says how many labels and domains there are.
        labels: [N].
        domains: [N].
        groups: [N], any codes.
        limit: > 0.
    """
    found, of_tile = np.unique(groups, return_inverse=True)
    num_cells = shape.num_labels * shape.num_domains
    cells = of_tile * num_cells + labels * shape.num_domains + domains
    own, numbers = np.unique(cells, return_counts=True)  # a table of all groups and cells would be mostly zeros
    squares = np.bincount(own // num_cells, numbers**2.0, len(found))
    scale = np.minimum(1.0, limit / np.sqrt(squares))
    clipped = np.bincount(own % num_cells, numbers * scale[own // num_cells], num_cells).astype(np.float64)
    return clipped.reshape(shape.num_labels, shape.num_domains)


def count_cells(shape: TileShape, labels: NDArray[np.int64], domains: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count labels with domains, int64 [label, domain].

    Args:
        shape: Says how many there are of either.
        labels: [N].
        domains: [N].
    """
    cells = np.bincount(labels * shape.num_domains + domains, minlength=shape.num_labels * shape.num_domains)
    return cells.reshape(shape.num_labels, shape.num_domains)
