"""Nearest training tiles against Pillow's turns and a loop, planted copies, chances against a count of orders."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from fedray.evaluation.memorisation import (
    alarming_number,
    chance_of_more,
    nearest,
    neighbours,
    orientations,
    share_interval,
    share_nearer,
)
from fedray.learning.augmentation import turn_and_flip


def tiles(num: int, seed: int, size: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, size, size, 3), dtype=np.uint8)


def rows(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(*pixels.shape[:-3], -1).astype(np.float32)


def by_pillow(tile: np.ndarray) -> list[np.ndarray]:
    """A tile in all orientations, as another library turns it."""
    return [tile, *(np.asarray(Image.fromarray(tile).transpose(way)) for way in Image.Transpose)]


def test_the_orientations_are_those_that_training_draws():
    tile = tiles(1, seed=0)
    ours = {each[0].tobytes() for each in orientations(tile)}
    batch = torch.from_numpy(tile).permute(0, 3, 1, 2).float().repeat(200, 1, 1, 1)
    drawn = turn_and_flip(batch, torch.Generator().manual_seed(0)).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    assert ours == {each.tobytes() for each in drawn} == {each.tobytes() for each in by_pillow(tile[0])}
    assert len(ours) == 8
    assert np.array_equal(orientations(tile)[0], tile)


def test_nearest_as_a_loop_over_all_turns_finds_them():
    asked, training = tiles(9, seed=1), tiles(7, seed=2)
    found = nearest(rows(asked), rows(orientations(training)))
    for place, tile in enumerate(asked):
        far = [
            min(np.sqrt(np.mean((tile.astype(float) - turned) ** 2)) for turned in by_pillow(other))
            for other in training
        ]
        assert found.places[place] == np.argmin(far)
        assert found.distances[place] == pytest.approx(min(far))
        turned = orientations(training)[found.orientations[place], found.places[place]]
        assert np.sqrt(np.mean((tile.astype(float) - turned) ** 2)) == pytest.approx(min(far))


def test_planted_copies_are_found_however_they_are_turned():
    training, made = tiles(20, seed=3), tiles(16, seed=4)
    for way in range(8):
        made[way] = by_pillow(training[2 * way])[way]
    found = nearest(rows(made), rows(orientations(training)))
    assert found.distances[:8].tolist() == [0.0] * 8
    assert found.places[:8].tolist() == [2 * way for way in range(8)]
    assert found.distances[8:].min() > 50


def test_what_stands_nearer_than_a_quantile():
    held_out = np.arange(1.0, 102.0)  # its quantile of 5 % is 6
    assert share_nearer(np.array([5.9, 6.0, 6.1, 0.0]), held_out, 0.05) == 0.5
    assert share_nearer(held_out, held_out, 0.05) == pytest.approx(5 / 101)
    assert share_nearer(np.zeros(3), held_out, 0.01) == 1.0


@pytest.mark.parametrize("copied", [0.0, 0.1])
def test_the_interval_holds_the_share_that_is_expected(copied):
    """Of generated tiles as far as real ones, and of the same with a share of copies among them."""
    rng, expected, held = np.random.default_rng(5), copied + (1 - copied) * 0.05, 0
    for _ in range(60):
        held_out, made = rng.normal(20, 3, 300), rng.normal(20, 3, 400)
        made[: round(copied * len(made))] = 0
        low, high = share_interval(made, held_out, 0.05, rng, num_draws=300)
        held += low <= expected <= high
    assert held >= 51  # of 60; at 95 % fewer come once in a thousand


@pytest.mark.parametrize("lots", [(30,), (3, 20, 7), (29, 1)])
def test_neighbours_as_a_loop_over_all_turns_finds_them(lots):
    """In whatever lots the training tiles come; a tile shown turned is as near as a training tile turned back."""
    asked, training = tiles(9, seed=1), tiles(30, seed=2)
    parts = np.split(rows(training), np.cumsum(lots)[:-1])
    found = neighbours(rows(orientations(asked)), parts, num=5)
    for place, tile in enumerate(asked):
        far = [
            min(np.sqrt(np.mean((tile.astype(float) - turned) ** 2)) for turned in by_pillow(other))
            for other in training
        ]
        nearest_first = np.argsort(far)[:5]
        assert found.places[place].tolist() == nearest_first.tolist()
        assert found.distances[place] == pytest.approx(np.array(far)[nearest_first])
        turned = orientations(asked)[found.turns[place, 0], place]
        gap = np.sqrt(np.mean((turned.astype(float) - training[nearest_first[0]]) ** 2))
        assert gap == pytest.approx(found.distances[place, 0])
        assert found.nearness[place] == pytest.approx(far[nearest_first[0]] / np.mean(np.array(far)[nearest_first[1:]]))


def test_a_training_tile_is_not_its_own_neighbour():
    training = tiles(12, seed=3)
    turned = rows(orientations(training))
    assert neighbours(turned, [rows(training)], num=2).distances[:, 0].tolist() == [0.0] * 12
    without = neighbours(turned, [rows(training[:5]), rows(training[5:])], num=2, own=np.arange(12))
    assert without.distances.min() > 50 and (without.places[:, 0] != np.arange(12)).all()


def test_copies_have_no_distance_and_no_nearness():
    training = tiles(20, seed=3)
    training[10:] = training[:10]  # each twice: a copy is a copy of both
    made = np.stack([by_pillow(training[way])[way] for way in range(8)])
    found = neighbours(rows(orientations(made)), [rows(training)], num=3)
    assert found.distances[:, :2].max() == 0 and found.nearness.tolist() == [0.0] * 8


def test_memory_does_not_grow_with_the_training_tiles():
    asked, rng = np.random.default_rng(1).normal(size=(8, 40, 32)).astype(np.float32), np.random.default_rng(2)
    peaks = []
    for lots in (3, 30):
        tracemalloc.start()
        neighbours(asked, (rng.normal(size=(500, 32)).astype(np.float32) for _ in range(lots)), num=3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(("made", "held_out", "rank"), [(4, 4, 1), (3, 5, 2), (5, 3, 3)])
def test_chances_are_those_of_all_orders(made, held_out, rank):
    """Of every order of generated and held-out tiles by distance, each as likely."""
    counts = []
    for places in itertools.combinations(range(made + held_out), held_out):
        counts.append(sum(place < places[rank - 1] for place in set(range(made + held_out)) - set(places)))
    for number in range(made + 1):
        assert chance_of_more(number, made, held_out, rank) == pytest.approx(np.mean(np.array(counts) >= number))
    for level in (0.4, 0.07, 1e-6):
        enough = [number for number in range(made + 1) if np.mean(np.array(counts) >= number) <= level + 1e-12]
        assert alarming_number(made, held_out, rank, level) == min(enough, default=made + 1)
