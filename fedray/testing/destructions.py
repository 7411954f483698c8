"""What every destruction of the self-test must do."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.destruction import Destruction
from fedray.testing.suite import Suite

NUM_TILES = 70
SHAPES = ((32, 32, 3), (32, 32, 1), (32, 32, 2), (32, 32, 5), (17, 30, 3), (4, 5, 4))
"""(H, W, C): grey, more channels than RGB, edges that nothing divides, and hardly any pixels."""


class DestructionSuite(Suite):
    """Tests of a :class:`fedray.evaluation.destruction.Destruction`, given as ``destruction``."""

    given = ("destruction",)

    def test_it_takes_tiles_of_any_shape_or_says_why_not(self, destruction: Destruction) -> None:
        """As many tiles of the same shape come back, destroyed; the real ones stay as they are."""
        taken = 0
        for shape, num_labels in product(SHAPES, (1, 3)):
            tiles, labels = _noise(shape), np.arange(NUM_TILES) % num_labels
            untouched, what = tiles.copy(), f"tiles of shape {shape} with {num_labels} label(s)"
            reason = destruction.why_not(shape, labels)
            assert reason is None or (isinstance(reason, str) and reason), f"why_not of {what} is {reason!r}: say why"
            if reason is None:
                taken += 1
                for apply in destruction.ways:
                    found = apply(tiles, labels, _rng())
                    assert np.array_equal(tiles, untouched), f"{what} must stay as they were: change a copy"
                    _check(found, untouched, what)
        assert taken, "why_not has something against every shape: 32 x 32 RGB tiles of 3 labels must do"

    def test_what_is_random_comes_from_the_stream_alone(self, destruction: Destruction) -> None:
        """The same generator gives the same tiles, whatever the global state of NumPy is."""
        tiles, labels = _noise(SHAPES[0]), np.arange(NUM_TILES) % 3
        for apply in destruction.ways:
            first = apply(tiles, labels, _rng())
            np.random.random(3)  # noqa: NPY002  # what it must not depend on
            again = apply(tiles, labels, _rng())
            assert np.array_equal(first, again), "the same seed must destroy alike: draw from the rng that is given"

    def test_the_opposite_is_another_set(self, destruction: Destruction) -> None:
        """A change that has a direction goes both ways; an order has none."""
        if destruction.opposite is None:
            return
        assert destruction.order is None, "a destruction with an order has no opposite"
        tiles, labels = _noise(SHAPES[0]), np.arange(NUM_TILES) % 3
        one, other = (apply(tiles, labels, _rng()) for apply in destruction.ways)
        assert not np.array_equal(one, other), "opposite() makes what apply() makes: it must go the other way"

    def test_an_order_says_which_tile_stands_where(self, destruction: Destruction) -> None:
        """Where there is one, it is all that happens; several draws are of an order alone."""
        assert destruction.num_choices >= 1, f"num_choices must be >= 1, but is {destruction.num_choices}"
        if destruction.order is None:
            assert destruction.num_choices == 1, "only a destruction with an order is drawn several times"
            return
        tiles, labels = _noise(SHAPES[0]), np.arange(NUM_TILES) % 3
        order = destruction.order(labels, _rng())
        assert order.shape == (NUM_TILES,) and order.dtype.kind == "i", "an order is the index of a tile for each place"
        assert np.array_equal(destruction.apply(tiles, labels, _rng()), tiles[order]), "apply() must be tiles[order]"

    def test_what_a_score_misses_has_a_name(self, destruction: Destruction) -> None:
        """It follows 'blind to' in tables."""
        assert destruction.unseen.strip(), "unseen must say what a score misses, to follow 'blind to'"
        assert not destruction.unseen.endswith("."), "unseen stands within a line: no full stop"


def _check(found: NDArray[np.uint8], tiles: NDArray[np.uint8], what: str) -> None:
    assert found.dtype == np.uint8, f"{what} must come back as uint8, but are {found.dtype}"
    assert found.shape == tiles.shape, f"{what} must keep number and shape, but became {found.shape}"
    assert not np.array_equal(found, tiles), f"{what} came back as they were: destroy them, or say why not"


def _noise(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (NUM_TILES, *shape), dtype=np.uint8)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
