"""Copies are flagged from a small share on, held-out real tiles and honest ones are not; the power curve says so."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from fedray.reports import REPORTS, Judged
from fedray.reports.memorisation import COPIES, LEVEL, SHARES, measured, would_have_been_found
from fedray.testing import real_textures, texture_labels, texture_tiles

NUM = 100
"""Tiles of each label."""


@pytest.fixture(scope="module")
def real():
    return real_textures(NUM)


def judged(real, tiles):
    return Judged("some", tiles, texture_labels(len(tiles) // 2), real)


def planted(real, way, num, seed):
    """Held-out tiles that nobody compares with, some of them replaced by copies of training tiles."""
    rng = np.random.default_rng(seed)
    tiles = texture_tiles(seed, NUM)
    upright = real.store.tiles(rng.choice(real.training, num, replace=False))
    turned = np.rot90(upright, 1, axes=(1, 2))[:, :, ::-1]
    tiles[rng.choice(len(tiles), num, replace=False)] = COPIES[way](turned, upright, rng)
    return tiles


def alarms(real, tiles):
    return any(test.alarms for test in measured(judged(real, tiles)).tests.values())


@pytest.mark.parametrize(("way", "share"), [("plain", 0.1), ("turned or flipped", 0.1), ("blurred by 1 px", 0.3)])
def test_planted_copies_are_flagged_as_the_power_curve_says(real, way, share):
    draws = [alarms(real, planted(real, way, round(share * 2 * NUM), seed)) for seed in range(200, 204)]
    assert all(draws)
    assert not alarms(real, planted(real, way, 1, seed=200))


def test_neither_held_out_tiles_nor_honest_ones_are_flagged(real):
    """24 draws of the process that made the real tiles, and 6 of a network that blurs: near to all, and to none."""
    draws = [texture_tiles(seed, NUM) for seed in range(300, 324)]
    assert sum(alarms(real, tiles) for tiles in draws) <= 1  # more come once in 40 at the level of 1 %
    smooth = [gaussian_filter(tiles, (0, 1, 1, 0)) for tiles in draws[:6]]
    assert not any(alarms(real, tiles) for tiles in smooth)


def test_the_report_says_at_which_share_copies_are_found_and_shows_the_pairs(real):
    report = REPORTS["memorisation"]
    copied, honest = (report.make(judged(real, tiles)) for tiles in (
        planted(real, "turned or flipped", 40, seed=5), texture_tiles(5, NUM)))  # fmt: skip
    assert (copied.alarm, honest.alarm) == (True, False)
    assert copied.verdict.startswith("Training tiles are copied: 4") and " of 200 tiles (2" in copied.verdict
    assert "copies would have been found, as a share of the tiles: plain from 10\N{NO-BREAK SPACE}%" in honest.verdict
    power = honest.tables["power"]
    assert set(power["copies"]) == {"none", *COPIES} and set(power["share planted"]) == {0.0, *SHARES}
    assert power[power["copies"] == "none"]["flagged"].max() <= 4 * LEVEL
    assert power[(power["copies"] == "plain") & (power["share planted"] == 0.5)]["flagged"].min() == 1
    assert power.equals(copied.tables["power"]), "it says nothing of what is judged"
    tiles = copied.tables["tiles"].query("`distances in` == 'pixels'")
    assert (tiles["distance"] == 0).sum() == 40
    assert [figure.name for figure in copied.figures] == ["nearest-in-pixels", "nearest-in-features", "power"]


@pytest.mark.parametrize(
    ("flagged", "said"),
    [
        ({"plain": (0.2, 1.0), "blurred": (0.1, 0.96)}, "copies of 5 % of the tiles would have been found"),
        ({"plain": (0.96, 1.0), "blurred": (0.1, 0.94)}, "plain from 1 %, blurred not even half"),
        ({"plain": (0.96, 0.9), "blurred": (0.96, 1.0)}, "plain not even half, blurred from 1 %"),
        ({"plain": (0.1, 0.2), "blurred": (0.0, 0.2)}, "so few tiles (64) would not have shown half of them"),
        ({"plain": (1.0, 1.0), "blurred": (1.0, 1.0)}, "copies of 1 % of the tiles would have been found"),
    ],
)
def test_the_share_from_which_on_copies_are_found_is_said(flagged, said):
    rows = [("none", 64, 0.0, 0.0), ("plain", 32, 0.01, 0.0), ("blurred", 32, 0.01, 0.0)]
    rows += [(way, 64, share, found) for way, values in flagged.items()
             for share, found in zip((0.01, 0.05), values, strict=True)]  # fmt: skip
    words = would_have_been_found(pd.DataFrame(rows, columns=["copies", "tiles", "share planted", "flagged"]))
    assert said in words.replace("\N{NO-BREAK SPACE}", " ")
