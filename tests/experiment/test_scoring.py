"""Tiles of any generator: as many of each label as are compared, and the scores that the evaluator gives them."""

import numpy as np
import pytest

from fedray.config import EvaluationConfig
from fedray.data import write_store
from fedray.evaluation import EvaluationError, compared_indices
from fedray.experiment.scoring import choose
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A store whose test split has 60 tiles of 'a', 30 of 'b' and 10 of 'c'."""
    tiles = [
        tile._replace(label=(number >= 60) + (number >= 90), split=split, group=f"{split}{number}")
        for split in ("train", "test") for number, tile in enumerate(random_tiles(100))
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("uneven") / "store"
    return write_store(path, iter(tiles), label_names=["a", "b", "c"])


def wanted(store, num):
    return np.bincount(store.labels[compared_indices(store, EvaluationConfig(num_samples=num))], minlength=3)


def test_each_label_is_drawn_as_often_as_real_ones_are_compared_and_no_tile_twice(uneven):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 80, 10]))
    draws = [choose(labels, uneven, EvaluationConfig(), seed) for seed in (0, 0, 1)]
    for drawn in draws:
        assert np.bincount(labels[drawn]).tolist() == [60, 30, 10] == wanted(uneven, None).tolist()
        assert len(set(drawn.tolist())) == 100
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()


@pytest.mark.parametrize("have", [[60, 29, 10], [59, 100, 100], [12, 100, 5], [10, 5, 2], [100, 100, 3]])
def test_too_few_tiles_name_the_number_that_is_needed_and_the_largest_that_would_do(uneven, have):
    labels = np.repeat([0, 1, 2], have)
    enough = [num for num in range(16, 101) if (wanted(uneven, num) <= have).all()]
    with pytest.raises(EvaluationError) as refused:
        choose(labels, uneven, EvaluationConfig(), 0)
    message = str(refused.value)
    for label, (need, there) in enumerate(zip((60, 30, 10), have, strict=True)):
        assert (f"{need} of {'abc'[label]!r}, not {there}" in message) == (there < need)
    assert f"--num-samples {max(enough)}, which is another score" in message
    choose(labels, uneven, EvaluationConfig(num_samples=max(enough)), 0)


@pytest.mark.parametrize("have", [[100, 100, 0], [0, 0, 5], [5, 5, 5]])
def test_no_number_is_offered_where_none_would_do(uneven, have):
    with pytest.raises(EvaluationError, match=r"generate more$"):
        choose(np.repeat([0, 1, 2], have), uneven, EvaluationConfig(), 0)
