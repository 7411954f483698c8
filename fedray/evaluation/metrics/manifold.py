"""Precision, recall, density and coverage: are generated tiles like real ones, and are all kinds of tiles among them?

All four ask which tiles lie within a ball around another one that reaches to its k-th neighbour.
"""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from fedray.evaluation.metrics.base import Features, Metric, Mode, Sample

NEIGHBOURS = 5
"""k of both papers' experiments."""
DISTANCES_AT_ONCE = 2**22
"""Bounds memory, to some 100 MB."""


class Manifold(NamedTuple):
    """Each in [0, 1], but density, which may exceed 1."""

    precision: float
    """Share of the generated tiles that lie among the real ones (Kynkäänniemi et al. 2019, arXiv 1904.06991)."""
    recall: float
    """Share of the real tiles that lie among the generated ones (the same)."""
    density: float
    """Real balls that a generated tile lies in, over k, on average (Naeem et al. 2020, arXiv 2002.09797)."""
    coverage: float
    """Share of the real tiles whose ball holds a generated one (the same)."""


class Diversity(Metric):
    """Coverage and recall: which share of the real tiles the generator reaches."""

    kinds: ClassVar[dict[str, Mode | None]] = {"coverage": "max", "recall": "max"}
    min_tiles = NEIGHBOURS + 1
    min_label_tiles = 32  # below, a ball to the fifth neighbour holds a sixth of the label or more

    def measure(self, real: Sample, fake: Sample) -> tuple[float, float]:
        """See :func:`manifold`."""
        found = manifold(real.features, fake.features)
        return found.coverage, found.recall


def manifold(real: Features, fake: Features, neighbours: int = NEIGHBOURS) -> Manifold:
    """Compute all four; they share their distances.

    A tile's ball reaches to its k-th neighbour in its own set, itself not counted, and its rim belongs to it (``<=``,
    as in the papers; with ``<``, of more than k equal tiles none would be covered even by its own copy).

    Args:
        real: [n, d], n > k.
        fake: [m, d], m > k.
        neighbours: k.
    """
    assert min(len(real), len(fake)) > neighbours
    real_radii, fake_radii = _radii(real, neighbours), _radii(fake, neighbours)
    balls_around_fake = np.zeros(len(fake), np.int64)
    num_covered = num_reached = 0
    for rows, distances in _distances(real, fake):
        within_real = distances <= real_radii[rows, np.newaxis]
        balls_around_fake += within_real.sum(0)
        num_covered += int(within_real.any(1).sum())
        num_reached += int((distances <= fake_radii).any(1).sum())
    return Manifold(
        precision=float(np.mean(balls_around_fake > 0)),
        recall=num_reached / len(real),
        density=float(np.mean(balls_around_fake) / neighbours),
        coverage=num_covered / len(real),
    )


def _radii(tiles: Features, neighbours: int) -> NDArray[np.float64]:
    """Distance of each tile to its k-th neighbour; the tile itself, at 0, is one of those that are counted."""
    parts = [np.partition(distances, neighbours, axis=1)[:, neighbours] for _, distances in _distances(tiles, tiles)]
    return np.concatenate(parts)


def _distances(a: Features, b: Features) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Which rows of the matrix of distances, and the distances in them, some rows at a time.

    Each is summed from differences, not from a matrix product: equal pairs have equal distances, whatever their places.
    """
    at_once = max(1, DISTANCES_AT_ONCE // len(b))
    for start in range(0, len(a), at_once):
        rows = slice(start, start + at_once)
        yield rows, cdist(a[rows], b)
