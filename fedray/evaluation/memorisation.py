"""Do generated tiles come nearer to training tiles than real tiles do that were held out?

Distances are those of any features, pixels among them. A training tile counts in all eight orientations of a square, as
training shows it so. What the distances of held-out tiles are good for: a tile of the same tissue is near as well, and
only what is nearer than such ones is suspicious.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.base import Features
from fedray.evaluation.metrics.neighbours import squared_distances

Distances = NDArray[np.float64]


class Nearest(NamedTuple):
    """The training tile that is nearest to each of N tiles."""

    distances: Distances
    """Root mean square of the differences of all features, [N]."""
    places: NDArray[np.int64]
    """Which training tile it is, [N]."""
    orientations: NDArray[np.int64]
    """In which orientation, in the order of :func:`orientations`, [N]."""


def orientations(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return square tiles [N, S, S, C] in the eight orientations of a square, [8, N, S, S, C], the given one first."""
    turned = [np.rot90(tiles, quarter_turns, axes=(1, 2)) for quarter_turns in range(4)]
    return np.stack([*turned, *(tile[:, :, ::-1] for tile in turned)])


def nearest(features: Features, training: Features) -> Nearest:
    """Find the nearest training tile of each tile, in whichever orientation.

    Args:
        features: [N, D].
        training: [8, M, D], of the training tiles' :func:`orientations`.
    """
    _, num, width = training.shape
    flat = training.reshape(-1, width)
    found = np.concatenate([far.argmin(1) for _, far in squared_distances(features, flat)])
    # Once more from the differences: a copy's distance is 0 then, not what rounding leaves of a product.
    differences = features.astype(np.float64) - flat[found]
    return Nearest(np.sqrt(np.square(differences).mean(1)), found % num, found // num)


def share_nearer(generated: Distances, held_out: Distances, quantile: float) -> float:
    """Return which share of generated tiles is nearer to a training tile than a quantile of held-out tiles is.

    Of generated tiles that are as far as held-out ones it is about the quantile itself; of copies it is 1.

    Args:
        generated: Distances to the nearest training tile, [N].
        held_out: The same of real tiles that were not trained on, [M].
        quantile: Of the held-out tiles, in (0, 1).
    """
    return float(np.mean(generated < np.quantile(held_out, quantile)))


def share_interval(
    generated: Distances, held_out: Distances, quantile: float, rng: np.random.Generator, num_draws: int = 2000
) -> tuple[float, float]:
    """Interval of 95 % for :func:`share_nearer`, from a bootstrap of both sets; it takes tiles for independent draws.

    Args:
        generated: As there.
        held_out: As there.
        quantile: As there.
        rng: Draws the tiles.
        num_draws: How often both sets are drawn anew.
    """
    drawn_generated, drawn_held_out = (rng.choice(each, (num_draws, len(each))) for each in (generated, held_out))
    shares = np.mean(drawn_generated < np.quantile(drawn_held_out, quantile, axis=1)[:, np.newaxis], axis=1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)
