"""Tiles are what the slide shows there: exact where nothing is resampled, and without seams where it is."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.data.slides.cutting import cut_tiles
from fedray.data.slides.grid import choose_reading, plan_grid
from fedray.data.slides.mask import read_overview
from fedray.data.slides.opening import open_slide
from fedray.data.slides.slide import Pixels
from tests.support.slides import MPP, Picture, SlideFile, write_tiff


def cut_all(
    slide_file: SlideFile, name: str, size: int, resolution: float, threads: int = 2
) -> dict[tuple[int, int], Pixels]:
    """Cut all of a slide, glass too. Returns the tiles by their place in level 0."""
    with open_slide(slide_file(name)) as slide, ThreadPoolExecutor(threads) as executor:
        seen = read_overview(slide, executor, threads + 1)
        everything = np.ones(seen.pixels.shape[:2], bool)
        grid = plan_grid(slide, choose_reading(slide, size, resolution), seen, everything, 1.0)
        cuts = list(cut_tiles(slide, grid, executor, threads + 1))
    return {(cut.x, cut.y): cut.tile for cut in cuts}  # type: ignore[misc]


def test_a_tile_at_the_slides_resolution_is_a_piece_of_it(slide_file: SlideFile, picture: Picture) -> None:
    tiles = cut_all(slide_file, "lossless", 128, MPP)
    assert len(tiles) == 48
    for (x, y), tile in tiles.items():
        np.testing.assert_array_equal(tile, picture[y : y + 128, x : x + 128])


@pytest.mark.parametrize("resolution", [1.0, 0.8, 1.37, 0.49])
def test_resampled_tiles_fit_together_as_the_whole_slide_made_smaller(
    slide_file: SlideFile, picture: Picture, resolution: float
) -> None:
    """Also at the edges of tiles: the filter sees what lies beyond. And it is antialiased, as the whole is."""
    size, scale = 64, resolution / MPP
    tiles = cut_all(slide_file, "lossless", size, resolution)
    columns, rows = int(1024 / (size * scale)), int(768 / (size * scale))
    assert len(tiles) == columns * rows
    box = (0, 0, columns * size * scale, rows * size * scale)
    whole = Image.fromarray(picture).resize((columns * size, rows * size), Image.Resampling.LANCZOS, box=box)
    expected = np.asarray(whole).astype(int)
    for (x, y), tile in tiles.items():
        left, top = round(x / scale / size) * size, round(y / scale / size) * size
        assert np.abs(expected[top : top + size, left : left + size] - tile).max() <= 1


def test_a_coarse_level_is_read_at_the_right_place(slide_file: SlideFile, picture: Picture) -> None:
    """OpenSlide counts corners in pixels of level 0, and sizes in those of the level."""
    for name in ("svs", "tiff", "ndpi", "dicom", "ome"):
        tiles = cut_all(slide_file, name, 32, 4 * MPP)
        assert len(tiles) == 8 * 6
        for (x, y), tile in tiles.items():
            expected = np.asarray(Image.fromarray(picture[y : y + 128, x : x + 128]).reduce(4)).astype(int)
            assert np.abs(expected - tile).mean() < 6, (name, x, y)


@pytest.mark.parametrize("name", ["tiff", "svs"])
def test_threads_change_neither_tiles_nor_their_order(slide_file: SlideFile, name: str) -> None:
    one, four = (cut_all(slide_file, name, 32, 0.7, threads) for threads in (1, 4))
    assert list(one) == list(four)
    assert all(np.array_equal(one[place], four[place]) for place in one)


def test_pixels_that_are_not_square_give_square_tiles(picture: Picture, tmp_path: Path) -> None:
    """1 micrometre high and half of one wide: a tile at 1 micrometre is made smaller horizontally alone."""
    flat = picture[::2]
    options = {"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER", "compression": "lzw"}
    path = write_tiff(tmp_path / "flat.tif", flat, None, factors=(1,), **options)
    tiles = cut_all(lambda name: path, "", 64, 1.0)
    whole = np.asarray(Image.fromarray(flat).resize((512, 384), Image.Resampling.LANCZOS)).astype(int)
    assert len(tiles) == 8 * 6
    for (x, y), tile in tiles.items():
        assert np.abs(whole[y : y + 64, x // 2 : x // 2 + 64] - tile).max() <= 1
