"""What a process trains on: a client's tiles in memory, and what all tiles of an experiment have in common."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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


def count_cells(shape: TileShape, labels: NDArray[np.int64], domains: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count labels with domains, int64 [label, domain].

    Args:
        shape: Says how many there are of either.
        labels: [N].
        domains: [N].
    """
    cells = np.bincount(labels * shape.num_domains + domains, minlength=shape.num_labels * shape.num_domains)
    return cells.reshape(shape.num_labels, shape.num_domains)
