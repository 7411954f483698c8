"""Intervals in which real tiles score: each left-out score against a direct one, and the coverage by simulation."""

import numpy as np
import pytest
from scipy.stats import t

from fedray.evaluation.intervals import LEAVE_OUT, even_groups, real_interval
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid


def sample(features: np.ndarray) -> Sample:
    return Sample(features.astype(np.float32), np.arange(len(features)) % 2)


def kid_by_loops(x: np.ndarray, y: np.ndarray) -> float:
    def mean_kernel(a: np.ndarray, b: np.ndarray, pairs: list[tuple[int, int]]) -> float:
        return float(np.mean([(a[i] @ b[j] / len(a[i]) + 1) ** 3 for i, j in pairs]))

    def others(n: int) -> list[tuple[int, int]]:
        return [(i, j) for i in range(n) for j in range(n) if i != j]

    across = [(i, j) for i in range(len(x)) for j in range(len(y))]
    within = mean_kernel(x, x, others(len(x))) + mean_kernel(y, y, others(len(y)))
    return within - 2 * mean_kernel(x, y, across)


@pytest.mark.parametrize("width", [5, 40])
def test_scores_without_a_group_equal_the_direct_ones(width: int) -> None:
    rng = np.random.default_rng(0)
    real, other = sample(rng.normal(size=(24, width))), sample(rng.normal(0.3, 1.2, size=(24, width)))
    groups = even_groups(other.labels, rng)[:3]
    kept = [np.delete(other.features, group, axis=0) for group in groups]
    fids = [fid(real, sample(rest)) for rest in kept]
    kids = [kid_by_loops(real.features.astype(float), rest.astype(float)) for rest in kept]
    np.testing.assert_allclose(LEAVE_OUT["fid"](real, other, groups), fids, rtol=1e-5)
    np.testing.assert_allclose(LEAVE_OUT["kid"](real, other, groups), kids, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("num", [3, 16, 100])
def test_groups_share_out_every_tile_once_and_each_label_evenly(num: int) -> None:
    labels = np.random.default_rng(0).integers(0, 3, num)
    groups = even_groups(labels, np.random.default_rng(1))
    assert np.array_equal(np.sort(np.concatenate(groups)), np.arange(num))
    for label in range(3):
        counts = [int(np.sum(labels[group] == label)) for group in groups]
        assert max(counts) - min(counts) <= 1
    assert len(groups) == min(num, 32)


def test_the_interval_of_a_mean_is_the_prediction_interval_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20)

    def means(real: Sample, other: Sample, groups: list[np.ndarray]) -> np.ndarray:
        return np.array([np.delete(values, group).mean() for group in groups])

    tiles = sample(values[:, np.newaxis])
    low, high = real_interval(values.mean(), tiles, tiles, means, rng)
    reach = t.ppf(0.975, 19) * np.sqrt(2 * values.var(ddof=1) / 20)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach))


def test_three_tiles_say_nothing_of_scatter() -> None:
    three = sample(np.eye(3))
    assert real_interval(0.0, three, three, LEAVE_OUT["kid"], np.random.default_rng(0)) == (-np.inf, np.inf)


@pytest.mark.parametrize("kind", LEAVE_OUT)
@pytest.mark.parametrize(("width", "shift"), [(6, 0.0), (6, 0.3), (60, 0.1)])
def test_other_tiles_of_the_same_distribution_score_within_it(kind: str, width: int, shift: float) -> None:
    """Splits that are alike, or differ by their patients; more tiles than features, or fewer."""
    rng = np.random.default_rng(1)
    nothing = [np.empty(0, np.int64)]
    inside, wide = [], []
    for _ in range(25):
        real, *others = (sample(rng.normal(at, 1.0, (40, width))) for at in (0.0, *[shift] * 21))
        floor, *scores = (float(LEAVE_OUT[kind](real, other, nothing)[0]) for other in others)
        low, high = real_interval(floor, real, others[0], LEAVE_OUT[kind], rng)
        inside.append(np.mean([low <= score <= high for score in scores]))
        wide.append((high - low) / np.std(scores))
    assert np.mean(inside) >= 0.9
    assert np.median(wide) < 2 * 1.96 * np.sqrt(2) * 1.7  # an interval of all numbers would cover too
