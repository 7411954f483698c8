"""Nearest neighbours: against loops and scikit-learn, and in blocks no larger than is said."""

import tracemalloc

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from fedray.evaluation import EvaluationError
from fedray.evaluation.metrics import neighbours
from fedray.evaluation.metrics.neighbours import nearest_neighbours, radii, squared_distances


def cloud(num: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, width)).astype(np.float32)


def by_loops(tiles: np.ndarray, among: np.ndarray, num: int) -> tuple[list[list[float]], list[list[int]]]:
    found = []
    for tile in tiles.astype(np.float64):
        far = [(float(np.sum((tile - other) ** 2)), place) for place, other in enumerate(among)]
        found.append(sorted(far)[:num])
    return [[far for far, _ in row] for row in found], [[place for _, place in row] for row in found]


@pytest.mark.parametrize("at_once", [1, 100, 2000, 2**22])
@pytest.mark.parametrize("num", [1, 4, 23])
def test_they_equal_the_loops_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, at_once: int, num: int) -> None:
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", at_once)
    tiles, among = cloud(31, 5), cloud(23, 5, seed=1)
    squared, places = by_loops(tiles, among, num)
    found = nearest_neighbours(tiles, among, num)
    assert found.places.tolist() == places
    np.testing.assert_allclose(found.squared, squared, rtol=1e-9)


@pytest.mark.parametrize("at_once", [30, 2**22])
def test_of_equally_near_tiles_the_first_comes_first(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", at_once)
    grid = np.random.default_rng(0).integers(0, 3, (60, 2)).astype(np.float32)  # whole numbers: distances are exact
    assert nearest_neighbours(grid, grid, 7).places.tolist() == by_loops(grid, grid, 7)[1]


def test_they_are_those_of_scikit_learn_in_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", 40_000)
    tiles, among = cloud(700, 60), cloud(1100, 60, seed=1)
    far, places = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(among).kneighbors(tiles)
    found = nearest_neighbours(tiles, among, 3)
    assert np.array_equal(found.places, places)
    np.testing.assert_allclose(np.sqrt(found.squared), far, rtol=1e-6)
    own = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(among).kneighbors()[0][:, -1]
    np.testing.assert_allclose(np.sqrt(radii(among, 5)), own, rtol=1e-6)


@pytest.mark.parametrize(("num", "among"), [(500, 700), (700, 5), (3, 4000), (1, 1)])
def test_blocks_cover_every_pair_once_and_none_is_larger_than_is_said(
    monkeypatch: pytest.MonkeyPatch, num: int, among: int
) -> None:
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", 1000)
    seen = np.zeros((num, among), np.int64)
    for rows, columns, block in squared_distances(cloud(num, 2), cloud(among, 2)):
        assert block.size <= 1000 and block.shape == seen[rows, columns].shape
        seen[rows, columns] += 1
    assert (seen == 1).all()


def test_memory_is_that_of_a_block_and_not_of_all_pairs() -> None:
    """3,000 x 12,000 distances take 288 MB; four blocks of 2,048 x 2,048 take 134."""
    tiles, among = cloud(3000, 8), cloud(12_000, 8, seed=1)
    tracemalloc.start()
    nearest_neighbours(tiles, among, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 8 * neighbours.DISTANCES_AT_ONCE


def test_fewer_tiles_than_neighbours_are_refused_with_the_number() -> None:
    with pytest.raises(EvaluationError, match=r"the 5 nearest tiles must be found among at least 5, but there are 4$"):
        nearest_neighbours(cloud(3, 2), cloud(4, 2), 5)
