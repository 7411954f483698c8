"""Intervals in which real tiles score: each left-out score against a direct one, and the coverage by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import t, ttest_rel
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from fedray.evaluation.intervals import (
    LEAVE_OUT,
    Destroyed,
    Interval,
    LeftOut,
    even_groups,
    mean_interval,
    new_draw_interval,
)
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid

Destroy = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


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


def interval(kind: str, floor: float, real: Sample, other: Sample, rng: np.random.Generator) -> Interval:
    return new_draw_interval(floor, [LeftOut(real, other, LEAVE_OUT[kind], rng).left])


def means(real: Sample, other: Sample, groups: list[np.ndarray]) -> np.ndarray:
    return np.array([np.delete(other.features, group).mean() for group in groups])


@pytest.mark.parametrize("num_draws", [1, 2, 5])
def test_intervals_of_means_are_those_of_the_textbook(num_draws: int) -> None:
    """Of the mean over draws, and of the mean of one more draw: with the draws' variances pooled."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(num_draws, 20, 1)).astype(np.float32)
    left = [LeftOut(sample(draw), sample(draw), means, rng).left for draw in draws]
    mean, variance = draws.mean(), draws[..., 0].var(axis=1, ddof=1).mean() / 20
    at = t.ppf(0.975, 19 * num_draws)
    for found, share in ((mean_interval, 1 / num_draws), (new_draw_interval, 1 + 1 / num_draws)):
        reach = at * np.sqrt(share * variance)
        assert found(float(mean), left) == pytest.approx((mean - reach, mean + reach), rel=1e-3, abs=1e-4)


def test_the_interval_of_a_rise_in_means_is_the_paired_t_interval_of_scipy() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(20, 1)).astype(np.float32)
    after = (before + rng.normal(0.3, 0.2, before.shape)).astype(np.float32)
    expected = ttest_rel(after[:, 0], before[:, 0]).confidence_interval(0.95)
    left_out = LeftOut(sample(before), sample(before), means, rng)
    risen = left_out.risen([Destroyed(sample(after), np.arange(20))])
    found = mean_interval(float(after.mean() - before.mean()), [risen])
    assert found == pytest.approx((expected.low, expected.high), rel=1e-4)
    low, high = new_draw_interval(0.0, [left_out.left])
    assert found[0] > 0 > low and found[1] < high


@pytest.mark.parametrize("num", [2, 3])
@pytest.mark.filterwarnings("error")
def test_three_tiles_say_nothing_of_scatter(num: int) -> None:
    few = sample(np.eye(num))
    left_out = LeftOut(few, few, LEAVE_OUT["kid"], np.random.default_rng(0))
    assert new_draw_interval(0.0, [left_out.left]) == (-np.inf, np.inf)
    assert mean_interval(0.0, [left_out.risen([Destroyed(few, np.arange(num))])]) == (-np.inf, np.inf)


@pytest.mark.parametrize("kind", LEAVE_OUT)
def test_a_set_that_is_one_tile_repeated_has_an_interval(kind: str) -> None:
    """With the group of its tile nothing of it is left."""
    tiles = sample(np.random.default_rng(0).normal(size=(16, 3)))
    repeated = Destroyed(Sample(tiles.features[np.full(16, 5)], tiles.labels), np.full(16, 5))
    risen = LeftOut(tiles, tiles, LEAVE_OUT[kind], np.random.default_rng(1)).risen([repeated])
    low, high = mean_interval(1.0, [risen])
    assert -np.inf < low < 1.0 < high < np.inf


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
        low, high = interval(kind, floor, real, others[0], rng)
        inside.append(np.mean([low <= score <= high for score in scores]))
        wide.append((high - low) / np.std(scores))
    assert np.mean(inside) >= 0.9
    assert np.median(wide) < 2 * 1.96 * np.sqrt(2) * 1.7  # an interval of all numbers would cover too


@pytest.mark.parametrize("kind", LEAVE_OUT)
def test_the_score_expected_of_real_tiles_lies_within_the_interval_of_the_floor(kind: str) -> None:
    """A floor of four draws; what is expected is the mean of very many."""
    rng = np.random.default_rng(2)
    nothing = [np.empty(0, np.int64)]
    real = sample(rng.normal(size=(40, 6)))

    def draw() -> tuple[Sample, float]:
        other = sample(rng.normal(0.2, 1.0, (40, 6)))
        return other, float(LEAVE_OUT[kind](real, other, nothing)[0])

    expected = np.mean([draw()[1] for _ in range(400)])
    inside, widths = [], []
    for _ in range(50):
        draws = [draw() for _ in range(4)]
        left = [LeftOut(real, other, LEAVE_OUT[kind], rng).left for other, _ in draws]
        floor = float(np.mean([score for _, score in draws]))
        low, high = mean_interval(floor, left)
        inside.append(low <= expected <= high)
        widths.append((high - low) / np.diff(new_draw_interval(floor, left))[0])
    assert np.mean(inside) >= 0.9
    assert widths == pytest.approx(np.full(50, np.sqrt(0.2)))


def by_torch_fidelity(kind: str, real: Sample, other: Sample) -> float:
    x, y = (torch.from_numpy(each.features.astype(np.float64)) for each in (real, other))
    if kind == "kid":
        found = kid_features_to_metric(x, y, kid_subset_size=len(x), kid_subsets=1, verbose=False)
        return float(found["kernel_inception_distance_mean"])
    statistics = [fid_features_to_statistics(each) for each in (x, y)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])


def shifted(features: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return features + 0.3, np.arange(len(features))


def noisy(features: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return features + rng.normal(0.0, 0.5, features.shape), np.arange(len(features))


def half_repeated(features: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.resize(rng.choice(len(features), len(features) // 2, replace=False), len(features))
    return features[chosen], chosen


@pytest.mark.parametrize("kind", LEAVE_OUT)
@pytest.mark.parametrize("destroyed", [shifted, noisy, half_repeated])
def test_the_rise_expected_lies_within_its_interval(kind: str, destroyed: Destroy) -> None:
    """What is expected, from new draws of tiles, is computed by torch-fidelity."""
    rng = np.random.default_rng(3)
    real = sample(rng.normal(size=(40, 6)))
    rises, ends = [], []
    for _ in range(120):
        features = rng.normal(0.1, 1.0, (40, 6))
        worse, origins = destroyed(features, rng)
        other, fake = sample(features), sample(worse)
        rises.append(by_torch_fidelity(kind, real, fake) - by_torch_fidelity(kind, real, other))
        if len(ends) < 40:
            risen = LeftOut(real, other, LEAVE_OUT[kind], rng).risen([Destroyed(fake, origins)])
            ends.append(mean_interval(rises[-1], [risen]))
    expected = np.mean(rises)
    assert np.mean([low <= expected <= high for low, high in ends]) >= 0.9
    assert np.mean([high - low for low, high in ends]) < 2 * 1.96 * np.std(rises) * 2
