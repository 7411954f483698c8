"""Networks whose entries of labels and domains stand in another order judge as they did, under the new codes."""

import numpy as np
import pytest
import torch

from fedray.learning import Condition
from fedray.tasks.codes import axes_of, reordered
from fedray.tasks.gan import task
from fedray.tasks.gan.objectives import OBJECTIVES
from fedray.testing import small_experiment
from fedray.testing.small import SHAPE

ORDER = [2, 0, 1]
THREE = SHAPE._replace(num_labels=3, num_domains=3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_discriminator_judges_under_the_new_codes_as_under_the_old(objective):
    config = small_experiment({"gan.objective": objective, "gan.generator": "residual"})
    first, moved = (task.make(config, THREE, "cpu") for _ in range(2))
    arrays = first.arrays()
    for kind in ("num_labels", "num_domains"):
        axes = axes_of(task, config, THREE, kind)
        assert {name.partition(".")[0] for name in axes} == set(first.parts()), "every network knows them"
        arrays = reordered(arrays, axes, ORDER)
    moved.load(arrays)
    old, now = torch.arange(9), torch.from_numpy(np.argsort(ORDER))
    tiles = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    judged = [
        gan.discriminator.eval()(tiles, Condition(labels, domains))
        for gan, labels, domains in ((first, old % 3, old // 3), (moved, now[old % 3], now[old // 3]))
    ]
    torch.testing.assert_close(judged[1].scores, judged[0].scores)
    for after, before in zip(judged[1][1:], judged[0][1:], strict=True):
        if before is not None:
            torch.testing.assert_close(after[:, now], before)


def test_only_what_a_generator_that_knows_no_domain_has_is_moved():
    config = small_experiment({"gan.generator": "custom-cnn"})
    assert axes_of(task, config, THREE, "num_domains") == {}
    alone = small_experiment({"gan.generator": "residual", "federation.aggregate": "generator"})
    assert {name.partition(".")[0] for name in axes_of(task, alone, THREE, "num_labels")} == {
        "generator",
        "generator_ema",
    }


def test_entries_move_along_their_axis_and_what_stands_before_them_stays():
    arrays = {"a": np.arange(8).reshape(4, 2), "b": np.arange(6).reshape(2, 3), "c": np.arange(3)}
    moved = reordered(arrays, {"a": 0, "b": 1}, ORDER)
    assert moved["a"].tolist() == [[0, 1], [6, 7], [2, 3], [4, 5]]
    assert moved["b"].tolist() == [[2, 0, 1], [5, 3, 4]]
    assert moved["c"] is arrays["c"] and arrays["a"][1].tolist() == [2, 3]
