"""Do generated tiles come nearer to training tiles than real tiles do that were held out?

Distances are those of any features, pixels among them. A training tile counts in all eight orientations of a square, as
training shows it so. What the distances of held-out tiles are good for: a tile of the same tissue is near as well, and
only what is nearer than such ones is suspicious.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.base import Features
from fedray.evaluation.metrics.neighbours import DISTANCES_AT_ONCE, all_squared_distances, nearest_neighbours

Distances = NDArray[np.float64]

NUM_ORIENTATIONS = 8
"""Of a square."""
RANK_SHARE = 0.01
"""Share of held-out tiles nearer than where copies begin: of some, a double may be among the training tiles."""


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
    found = nearest_neighbours(features, flat, 1).places[:, 0]
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


class Neighbours(NamedTuple):
    """The training tiles that are nearest to each of N tiles, which may be turned for that."""

    distances: Distances
    """Root mean square of the differences of all features, ascending, [N, k]."""
    places: NDArray[np.int64]
    """Which training tiles they are, no tile twice, [N, k]."""
    turns: NDArray[np.int64]
    """In which orientation a tile is as near, in the order of :func:`orientations`, [N, k]."""

    @property
    def nearness(self) -> Distances:
        """How near the nearest training tile is for how near the next ones are: 0 for a copy, 1 for one among many.

        The distance to the nearest over the mean distance to the next k - 1 (Carlini et al. 2023, arXiv 2301.13188).
        The distance alone takes smooth tiles for copies: they are near to all others.
        """
        nearest, others = self.distances[:, 0], self.distances[:, 1:].mean(1)
        ratio: Distances = np.divide(nearest, others, out=np.zeros_like(nearest), where=others > 0)
        return ratio


def neighbours(
    turned: Features, training: Iterable[Features], num: int, own: NDArray[np.int64] | None = None
) -> Neighbours:
    """Find the nearest training tiles exactly, in memory that does not grow with their number.

    Args:
        turned: [8, N, D], of the :func:`orientations` of N tiles: a training tile shown turned is found so, and
            training tiles need no features but their own.
        training: Features of all training tiles, some at a time, [m, D] each; at least ``num`` in all.
        num: k, how many to find, >= 1.
        own: Of training tiles themselves, each one's own place among these, [N]: it is left out.
    """
    asked = turned.shape[1]
    best = Neighbours(np.full((asked, num), np.inf), *(np.full((asked, num), -1) for _ in range(2)))
    start = 0
    for chunk in training:
        for rows in _blocks(asked, len(chunk)):
            places = None if own is None else own[rows] - start
            found = _nearest_of(turned[:, rows], chunk, min(num, len(chunk)), places)
            joined = [np.concatenate([kept[rows], more], axis=1) for kept, more in zip(
                best, found._replace(places=found.places + start), strict=True)]  # fmt: skip
            order = np.argsort(joined[0], axis=1, kind="stable")[:, :num]
            for kept, both in zip(best, joined, strict=True):
                kept[rows] = np.take_along_axis(both, order, axis=1)
        start += len(chunk)
    assert np.isfinite(best.distances).all(), f"{start} training tiles are fewer than the {num} that are asked for"
    return best


def _nearest_of(turned: Features, chunk: Features, num: int, own: NDArray[np.int64] | None) -> Neighbours:
    """Find the nearest tiles of one chunk, [8, n, D] against [m, D]."""
    views, asked, width = turned.shape
    flat = turned.reshape(-1, width)
    far = all_squared_distances(flat, chunk).reshape(views, asked, -1)
    turns = far.argmin(0)
    far = np.take_along_axis(far, turns[np.newaxis], axis=0)[0]
    if own is not None:
        inside = np.flatnonzero((own >= 0) & (own < len(chunk)))
        far[inside, own[inside]] = np.inf
    places = np.sort(np.argpartition(far, num - 1, axis=1)[:, :num], axis=1)
    turns = np.take_along_axis(turns, places, axis=1)
    # Once more from the differences: a copy's distance is 0 then, not what rounding leaves of a product.
    differences = turned[turns, np.arange(asked)[:, np.newaxis]].astype(np.float64) - chunk[places]
    distances = np.sqrt(np.square(differences).mean(-1))
    distances[np.isinf(np.take_along_axis(far, places, axis=1))] = np.inf
    return Neighbours(distances, places, turns)


def _blocks(asked: int, chunk: int) -> Iterator[slice]:
    """Divide the rows so that the distances of all orientations to a chunk are bounded."""
    at_once = max(1, DISTANCES_AT_ONCE // (NUM_ORIENTATIONS * chunk))
    for start in range(0, asked, at_once):
        yield slice(start, min(start + at_once, asked))


def chance_of_more(nearer: int, num_made: int, num_held_out: int, rank: int) -> float:
    """Chance that so many generated tiles or more stand nearer than the held-out tile of a rank, if none is a copy.

    Exact, whatever the distances are, where generated and held-out tiles come from one distribution: then each order of
    all of them is as likely, and so many are nearer where among the ``nearer + rank - 1`` nearest of all fewer than
    ``rank`` are held-out ones.

    Args:
        nearer: Generated tiles below the ``rank``-th smallest value of the held-out ones.
        num_made: Generated tiles.
        num_held_out: Held-out tiles, at least ``rank``.
        rank: 1 for the nearest of the held-out tiles.
    """
    from scipy.stats import hypergeom

    assert 0 <= nearer <= num_made and 1 <= rank <= num_held_out
    return float(hypergeom.cdf(rank - 1, num_made + num_held_out, num_held_out, nearer + rank - 1))


def alarming_number(num_made: int, num_held_out: int, rank: int, level: float) -> int:
    """Return the smallest number of generated tiles whose :func:`chance_of_more` is at most a level.

    Returns:
        ``num_made + 1`` where no number is so rare: too few tiles to say anything.
    """
    numbers = range(num_made + 1)
    return bisect_left(numbers, True, key=lambda nearer: chance_of_more(nearer, num_made, num_held_out, rank) <= level)


class NearerTest(NamedTuple):
    """The nearness of generated tiles beside that of held-out ones."""

    threshold: float
    """Nearness of the held-out tile at which copies begin."""
    nearer: int
    """Generated tiles that stand nearer."""
    alarming: int
    """So many are an alarm."""

    @property
    def alarms(self) -> bool:
        """Whether more are nearer than chance allows."""
        return self.nearer >= self.alarming


def rank_of(num_held_out: int) -> int:
    """Return the rank, from 1, of the held-out tile at whose nearness copies begin."""
    return 1 + int(RANK_SHARE * num_held_out)


def nearer_test(nearness: Distances, held_out: Distances, level: float) -> NearerTest:
    """Ask whether more generated tiles stand nearer to one training tile than held-out ones than chance allows.

    Args:
        nearness: Of generated tiles (:attr:`Neighbours.nearness`), [n].
        held_out: Of held-out tiles, [m], m >= 1.
        level: How often tiles that copy nothing raise an alarm at the most.
    """
    rank = rank_of(len(held_out))
    threshold = float(np.sort(held_out)[rank - 1])
    nearer = int(np.sum(nearness < threshold))
    return NearerTest(threshold, nearer, alarming_number(len(nearness), len(held_out), rank, level))
