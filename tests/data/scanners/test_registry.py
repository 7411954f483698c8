"""What holds for every scanner, the moment it is registered."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from fedray.data.scanners import SCANNERS, render

TISSUE = skimage.data.immunohistochemistry()[100:132, 100:140]
"""32 x 40 px, haematoxylin and DAB."""
_DYES = np.random.default_rng(0).uniform(0, [1.0, 1.0, 0.0], (32, 40, 3))
STAINED = (255 * np.exp(-_DYES @ [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])).astype(np.uint8)
"""Haematoxylin and eosin."""
HAIRY = np.full((32, 40, 3), (210, 170, 150), np.uint8)
HAIRY[15:17] = (40, 30, 30)
"""A dark line over plain skin."""


@pytest.mark.parametrize("name", SCANNERS)
class TestEveryScanner:
    def test_it_renders_uint8_of_the_same_shape_and_leaves_the_picture(self, name: str) -> None:
        given = TISSUE.copy()
        rendered = render(given, SCANNERS[name])
        assert (rendered.dtype, rendered.shape) == (np.uint8, (32, 40, 3))
        np.testing.assert_array_equal(given, TISSUE)

    def test_it_is_the_same_every_time(self, name: str) -> None:
        np.testing.assert_array_equal(render(HAIRY, SCANNERS[name]), render(HAIRY.copy(), SCANNERS[name]))

    @pytest.mark.parametrize("value", [0, 7, 128, 255])
    def test_a_plain_picture_stays_plain(self, name: str, value: int) -> None:
        rendered = render(np.full((16, 16, 3), value, np.uint8), SCANNERS[name])
        assert (rendered == rendered[0, 0]).all()


def test_original_is_the_picture_itself_and_no_two_scanners_are_one() -> None:
    np.testing.assert_array_equal(render(TISSUE, SCANNERS["original"]), TISSUE)
    seen = {
        name: np.concatenate([render(picture, scanner) for picture in (TISSUE, STAINED, HAIRY)]).astype(int)
        for name, scanner in SCANNERS.items()
    }
    for one, other in combinations(SCANNERS, 2):
        assert np.abs(seen[one] - seen[other]).mean() > 1, (one, other)


def test_the_page_has_them_all() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (Path(__file__).parents[3] / "docs" / "data.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert set(SCANNERS) <= named
