"""Precision, recall, density and coverage: are generated tiles like real ones, and are all kinds of tiles among them?

All four ask which tiles lie within a ball around another one that reaches to its k-th neighbour.
"""

from typing import ClassVar, NamedTuple

import numpy as np

from fedray.evaluation.metrics.base import Metric, Mode, Sample
from fedray.evaluation.metrics.neighbours import squared_distances

NEIGHBOURS = 5
"""k of coverage and recall, that of Naeem et al."""
FIDELITY_NEIGHBOURS = 3
"""k of precision and density, that of Kynkäänniemi et al. At 5, in the features of ``efficientnet-lite0``, an outlier's
ball takes in all of 256 tiles of pure noise."""


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


class FidelityAndDiversity(Metric):
    """All four; coverage and recall say which share of the real tiles is reached, the others how real tiles look."""

    kinds: ClassVar[dict[str, Mode | None]] = {"coverage": "max", "recall": "max", "precision": "max", "density": "max"}
    shares = frozenset({"coverage", "recall", "precision"})
    of_each_tile = frozenset({"precision", "density"})
    min_tiles = NEIGHBOURS + 1
    min_label_tiles = 32  # below, a ball to the fifth neighbour holds a sixth of the label or more

    def measure(self, real: Sample, fake: Sample) -> tuple[float, float, float, float]:
        """See :func:`manifold`."""
        diversity, fidelity = manifold(real, fake, NEIGHBOURS), manifold(real, fake, FIDELITY_NEIGHBOURS)
        return diversity.coverage, diversity.recall, fidelity.precision, fidelity.density


def manifold(real: Sample, fake: Sample, neighbours: int) -> Manifold:
    """Compute all four; they share their distances.

    A tile's ball reaches to its k-th neighbour in its own set, itself not counted, and its rim belongs to it (``<=``,
    as in the papers; with ``<``, of more than k equal tiles none would be covered even by its own copy).

    Args:
        real: More than k tiles.
        fake: The same.
        neighbours: k.
    """
    assert min(len(real), len(fake)) > neighbours
    real_radii, fake_radii = real.radii(neighbours), fake.radii(neighbours)
    balls_around_fake = np.zeros(len(fake), np.int64)
    covered, reached = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, columns, squared in squared_distances(real.features, fake.features):
        within_real = squared <= real_radii[rows, np.newaxis]
        balls_around_fake[columns] += within_real.sum(0)
        covered[rows] |= within_real.any(1)
        reached[rows] |= (squared <= fake_radii[columns]).any(1)
    return Manifold(
        precision=float(np.mean(balls_around_fake > 0)),
        recall=float(np.mean(reached)),
        density=float(np.mean(balls_around_fake) / neighbours),
        coverage=float(np.mean(covered)),
    )
