"""Where tiles lie: levels, counts, shares."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fedray.data.slides.grid import Grid, Reading, choose_reading, mean_over_cells, plan_grid
from fedray.data.slides.mask import Overview
from fedray.data.slides.slide import Level, Pixels, Region, Slide, SlideError, make_levels


class Paper(Slide):
    """A slide without pixels."""

    def __init__(self, sizes: list[tuple[int, int]], mpp: float, scanned: Region | None = None) -> None:
        self.path = Path("paper.svs")
        self.levels: tuple[Level, ...] = make_levels(self.path, sizes, (mpp, mpp))
        self.scanned = scanned or Region(0, 0, *sizes[0])

    def read(self, level: int, region: Region) -> Pixels:
        raise AssertionError

    def close(self) -> None:
        pass


PYRAMID = [(40_000, 30_000), (10_000, 7_500), (2_500, 1_875)]


@pytest.mark.parametrize(
    ("mpp", "resolution", "level", "scale"),
    [
        (0.25, 0.25, 0, 1.0),
        (0.2526, 0.25, 0, 0.98971),  # a little finer than the scanner: allowed, resampled
        (0.2505, 0.25, 0, 1.0),  # within a hundredth: as it is
        (0.25, 0.5, 0, 2.0),  # level 1 has 1.0: too coarse
        (0.25, 1.0, 1, 1.0),
        (0.2526, 1.0, 0, 3.9588),  # level 1 has 1.0104: coarser than wanted
        (0.25, 3.0, 1, 3.0),
        (0.25, 50.0, 2, 12.5),
    ],
)
def test_the_coarsest_level_that_is_fine_enough_is_read(
    mpp: float, resolution: float, level: int, scale: float
) -> None:
    reading = choose_reading(Paper(PYRAMID, mpp), 256, resolution)
    assert reading.level == level and reading.scale == pytest.approx((scale, scale), rel=1e-3)
    assert (reading.scale == (1.0, 1.0)) == (scale == 1.0)


@pytest.mark.parametrize("resolution", [0.1, 0.2])
def test_tiles_are_not_enlarged(resolution: float) -> None:
    with pytest.raises(SlideError, match=r"paper.svs has 0\.25 um per pixel, coarser than --resolution .* blurred"):
        choose_reading(Paper(PYRAMID, 0.25), 256, resolution)


def test_shares_are_exact_by_area() -> None:
    """Against a mask that is made so large that every line lies between pixels."""
    random = np.random.default_rng(0)
    mask = random.random((12, 9)) > 0.5
    ys, xs = np.array([0, 2.5, 5.0, 10.75]), np.array([0, 3.25, 6.5, 9.0])
    large = np.kron(mask, np.ones((4, 4)))
    cells = [
        [np.s_[int(4 * y[0]) : int(4 * y[1]), int(4 * x[0]) : int(4 * x[1])] for x in pairwise(xs)]
        for y in pairwise(ys)
    ]
    expected = [[large[cell].mean() for cell in row] for row in cells]
    np.testing.assert_allclose(mean_over_cells(mask, ys, xs), expected, atol=1e-12)


def test_every_place_is_kept_background_or_margin() -> None:
    slide = Paper([(1000, 700)], 0.5)
    mask = np.zeros((44, 63), bool)
    mask[:16, :32] = True  # 256 x 512 px of the slide
    seen = Overview(np.zeros((44, 63, 3), np.uint8), 0, 16, (8.0, 8.0))
    grid = plan_grid(slide, choose_reading(slide, 128, 0.5), seen, mask, 0.5)
    assert grid.kept.shape == (5, 7) and grid.num_kept == 2 * 4
    assert grid.num_background == 5 * 7 - 8 and grid.num_margin == 6 * 8 - 5 * 7
    coarse = plan_grid(slide, choose_reading(slide, 128, 1.0), seen, mask, 0.5)
    assert coarse.kept.tolist() == [[True, True, False], [False] * 3]
    assert coarse.num_margin == 3 * 4 - 2 * 3


def test_a_slide_smaller_than_a_tile_has_none() -> None:
    slide = Paper([(100, 700)], 0.5)
    seen = Overview(np.zeros((44, 7, 3), np.uint8), 0, 16, (8.0, 8.0))
    grid = plan_grid(slide, choose_reading(slide, 128, 0.5), seen, np.ones((44, 7), bool), 0.0)
    assert (grid.num_kept, grid.num_background, grid.num_margin) == (0, 0, 6) and list(grid.blocks()) == []


def test_the_grid_begins_where_the_scan_does() -> None:
    slide = Paper(PYRAMID, 0.25, Region(4001, 8003, 4000, 4000))
    grid = Grid(choose_reading(slide, 256, 1.0), slide.scanned_at(1), np.ones((3, 3), bool), 0)
    assert grid.scanned[:2] == (1001, 2001) and grid.corner(2, 1) == (1001 + 256, 2001 + 512)
    assert grid.scanned.left + grid.scanned.width <= (4001 + 4000) / 4


@pytest.mark.parametrize(("size", "scale"), [(256, 1.0), (256, 2.3), (1024, 5.0), (16, 1.0)])
def test_blocks_hold_every_kept_tile_once(size: int, scale: float) -> None:
    kept = np.random.default_rng(0).random((40, 50)) > 0.7
    grid = Grid(Reading(0, (scale, scale), size), Region(0, 0, 10**6, 10**6), kept, 0)
    blocks = list(grid.blocks())
    places = [place for block in blocks for place in block]
    assert len(set(places)) == len(places) == grid.num_kept and all(kept[place] for place in places)
    edge = max(1.0, 2048 / (size * scale))
    for block in blocks:
        assert np.ptp(np.array(block), axis=0).max() < edge
