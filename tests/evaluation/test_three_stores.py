"""What the default extractor's KID sees of real tiles destroyed on purpose, on three stores, and exactly what not.

Blind is what scores no worse than the same tiles undestroyed, and there is none; within the spread is what one draw of
so many tiles would not tell from real ones. The floor itself, a mean over draws, lies below all that is destroyed.
"""

from pathlib import Path

import pytest

from fedray.config import DataConfig, EvaluationConfig
from fedray.data import ImportOptions, TileStore, import_folder, open_store
from fedray.evaluation import Evaluator, SelfTest
from fedray.evaluation.destruction import DESTRUCTIONS, PERMUTED

DEFAULT = None


@pytest.fixture(scope="module")
def colorectal_store(colorectal: Path, tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    return import_folder(colorectal, ImportOptions(size=64, out=tmp_path_factory.mktemp("colorectal") / "store")).store


def self_test_of(store: TileStore, num_samples: int | None) -> tuple[SelfTest, str]:
    """Run the self-test; returns it and the name of the KID of all tiles."""
    evaluator = Evaluator.prepare(store, EvaluationConfig(num_samples=num_samples))
    assert evaluator.self_test is not None
    return evaluator.self_test, f"kid/efficientnet-lite0/{evaluator.num_samples}"


def check(store: TileStore, num_samples: int | None, num_compared: int, within: list[str]) -> None:
    test, kid = self_test_of(store, num_samples)
    assert kid.endswith(f"/{num_compared}")
    assert set(test.scores) == set(DESTRUCTIONS)
    assert not test.blind_to(kid)
    assert test.within_spread(kid) == within
    above = [tiles for tiles in test.scores if test.scores[tiles][kid] > test.floor_intervals[kid][1]]
    assert set(above) == set(DESTRUCTIONS) - {PERMUTED}
    assert not test.misordered(kid)


@pytest.mark.parametrize(
    ("tile_size", "num_samples", "num_compared", "within"),
    [(32, 64, 64, []), (64, DEFAULT, 167, [])],  # 256 of 32 px: test_self_testing.py
)
def test_colon(tile_size: int, num_samples: int | None, num_compared: int, within: list[str]) -> None:
    check(open_store(DataConfig(tile_size=tile_size)), num_samples, num_compared, within)


@pytest.mark.parametrize(
    ("num_samples", "num_compared", "within"),
    [
        (64, 64, ["patches 1/2", "stain shift"]),  # smooth quarters join without seams; stains vary by as much
        (DEFAULT, 190, []),
    ],
)
def test_colorectal_tiles(
    colorectal_store: TileStore, num_samples: int | None, num_compared: int, within: list[str]
) -> None:
    check(colorectal_store, num_samples, num_compared, within)
