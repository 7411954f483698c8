"""What destroyed real tiles score: the self-test's own sets and numbers, worse than real ones at everything."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation import Evaluator, mode_of
from fedray.evaluation.ceilings import CEILINGS, ceilings
from fedray.evaluation.metrics.manifold import FidelityAndDiversity
from fedray.evaluation.reference import floor_draws, mean_scores

CONFIG = EvaluationConfig(num_samples=256)
MakeStore = Callable[..., TileStore]


def test_they_are_the_numbers_of_the_self_test_where_it_has_some(store: TileStore, evaluator: Evaluator) -> None:
    found = ceilings(store, CONFIG, evaluator)
    assert list(found) == list(CEILINGS) and evaluator.self_test is not None
    for ceiling, destruction in CEILINGS.items():
        for score, value in evaluator.self_test.scores.get(str(destruction), {}).items():
            assert found[ceiling][score] == pytest.approx(value, rel=1e-6), (ceiling, score)


def test_a_plain_grey_scores_as_the_evaluator_says(store: TileStore, evaluator: Evaluator) -> None:
    found = []
    for chosen in floor_draws(store, CONFIG):
        tiles, labels = store.tiles(chosen), store.labels[chosen]
        found.append(evaluator.scores(np.full_like(tiles, round(tiles.mean())), labels))
    assert ceilings(store, CONFIG, evaluator)["grey"] == pytest.approx(mean_scores(found))


def test_every_score_is_worse_than_the_floor(store: TileStore, evaluator: Evaluator) -> None:
    """But for those that ask of each tile alone: an outlier's ball, far as it reaches, takes a plain grey in."""
    for ceiling, scores in ceilings(store, CONFIG, evaluator).items():
        for name, value in scores.items():
            mode = mode_of(name)
            if mode is not None and name.partition("/")[0] not in FidelityAndDiversity.of_each_tile:
                assert (value - evaluator.floor[name]) * {"min": 1, "max": -1}[mode] > 0, (ceiling, name)


def test_the_second_time_they_are_read(
    store: TileStore, evaluator: Evaluator, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ceilings(store, CONFIG, evaluator)
    monkeypatch.setattr("fedray.evaluation.ceilings.sample_of", None)
    assert ceilings(store, CONFIG, evaluator) == first


def test_small_tiles_and_a_store_without_a_floor_have_those_that_apply(make_store: MakeStore) -> None:
    config = EvaluationConfig(num_samples=60)
    few = make_store({"gland": (10, 30), "stroma": (10, 30)}, size=7)
    evaluator = Evaluator.prepare(few, config)
    assert evaluator.floor == {} and list(ceilings(few, config, evaluator)) == ["blurred", "grey"]
