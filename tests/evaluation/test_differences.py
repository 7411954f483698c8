"""What differs, ranked: against closed forms, a hand-made shift of one colour, and real tiles themselves."""

import numpy as np
import pandas as pd
import pytest

from fedray.config import DataConfig, EvaluationConfig
from fedray.data import open_store
from fedray.evaluation import compared_indices
from fedray.evaluation.differences import difference_lines, differences
from fedray.evaluation.reference import floor_indices

CONFIG = EvaluationConfig(num_samples=64)


@pytest.fixture(scope="module")
def colon():
    return open_store(DataConfig(tile_size=32))


def test_other_real_tiles_are_as_far_as_the_floor_says_and_the_same_ones_are_nowhere(colon):
    other = differences(colon.tiles(floor_indices(colon, CONFIG)), colon, CONFIG)
    assert (other["distance"] == other["floor"]).all() and len(other) == 24
    assert difference_lines(other) == ["No statistic differs more than between real tiles."]
    same = differences(colon.tiles(compared_indices(colon, CONFIG)), colon, CONFIG)
    assert same["distance"].max() == 0 and same["shift"].abs().max() < 1e-6 and same["floor"].min() > 0


def test_a_shifted_colour_leads_the_list_by_as_much_as_it_is_shifted(colon):
    real = colon.tiles(compared_indices(colon, CONFIG))
    green = real[..., 1].reshape(64, -1).mean(1)
    shifted = real.astype(np.int64)
    shifted[..., 1] -= round(3 * green.std())
    kept = shifted.min() >= 0
    table = differences(np.clip(shifted, 0, 255).astype(np.uint8), colon, CONFIG).set_index("statistic")
    row = table.loc["colour/green/mean"]
    assert row["distance"] == pytest.approx(-row["shift"], rel=1e-5)
    if kept:
        assert row["shift"] == pytest.approx(-round(3 * green.std()) / green.std(), rel=1e-3)
    assert table.loc["colour/red/mean", "distance"] == 0
    assert (table["distance"].diff().dropna() <= 0).all()


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 2.0), (-1.0, 0.5)])
def test_distances_are_those_of_gaussians(monkeypatch, colon, shift, scale):
    """Of N(0, 1) and N(a, b^2) the quantiles are apart by a + (b - 1) z: its mean size is the distance."""
    normal = np.sort(np.random.default_rng(0).standard_normal(200_000)).astype(np.float32)
    given = iter([normal, shift + scale * normal, normal])
    monkeypatch.setattr("fedray.evaluation.differences.texture", lambda tiles: {"z": next(given)})
    [row] = differences(np.empty(0), colon, CONFIG).itertuples()
    z = np.random.default_rng(1).standard_normal(400_000)
    assert row.distance == pytest.approx(np.abs(shift + (scale - 1) * z).mean(), rel=0.01)
    assert row.shift == pytest.approx(shift, abs=0.01) and row.floor == 0


def test_it_is_said_in_words():
    rows = [("a", 1.0, 1.0, 0.2), ("b", -0.5, 0.9, np.nan), ("c", 0.1, 0.2, 0.3)]
    table = pd.DataFrame(rows, columns=["statistic", "shift", "distance", "floor"])
    assert difference_lines(table) == [
        "What differs most, in standard deviations of the real tiles:",
        "  a: 1 apart (other real tiles 0.2); 1 higher on average",
        "  b: 0.9 apart; 0.5 lower on average, and spread otherwise",
    ]
    assert difference_lines(table, most=1) == difference_lines(table)[:2]
