"""Intervals in which real tiles score: each left-out score against a direct one, and the coverage by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import t, ttest_rel
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from fedray.evaluation.intervals import LEAVE_OUT, Destroyed, Interval, LeftOut, even_groups
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
    return LeftOut(real, other, LEAVE_OUT[kind], rng).real_interval(floor)


def test_the_interval_of_a_mean_is_the_prediction_interval_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20)

    def means(real: Sample, other: Sample, groups: list[np.ndarray]) -> np.ndarray:
        return np.array([np.delete(values, group).mean() for group in groups])

    tiles = sample(values[:, np.newaxis])
    low, high = LeftOut(tiles, tiles, means, rng).real_interval(values.mean())
    reach = t.ppf(0.975, 19) * np.sqrt(2 * values.var(ddof=1) / 20)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach))


def test_the_interval_of_a_rise_in_means_is_the_paired_t_interval_of_scipy() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(20, 1)).astype(np.float32)
    after = (before + rng.normal(0.3, 0.2, before.shape)).astype(np.float32)

    def means(real: Sample, other: Sample, groups: list[np.ndarray]) -> np.ndarray:
        return np.array([np.delete(other.features, group).mean() for group in groups])

    expected = ttest_rel(after[:, 0], before[:, 0]).confidence_interval(0.95)
    left_out = LeftOut(sample(before), sample(before), means, rng)
    found = left_out.rise_interval(float(after.mean() - before.mean()), [Destroyed(sample(after), np.arange(20))])
    assert found == pytest.approx((expected.low, expected.high), rel=1e-4)
    assert found[0] > 0 > left_out.real_interval(0.0)[0] and found[1] < left_out.real_interval(0.0)[1]


@pytest.mark.parametrize("num", [2, 3])
@pytest.mark.filterwarnings("error")
def test_three_tiles_say_nothing_of_scatter(num: int) -> None:
    few = sample(np.eye(num))
    left_out = LeftOut(few, few, LEAVE_OUT["kid"], np.random.default_rng(0))
    assert left_out.real_interval(0.0) == (-np.inf, np.inf)
    assert left_out.rise_interval(0.0, [Destroyed(few, np.arange(num))]) == (-np.inf, np.inf)


@pytest.mark.parametrize("kind", LEAVE_OUT)
def test_a_set_that_is_one_tile_repeated_has_an_interval(kind: str) -> None:
    """With the group of its tile nothing of it is left."""
    tiles = sample(np.random.default_rng(0).normal(size=(16, 3)))
    repeated = Destroyed(Sample(tiles.features[np.full(16, 5)], tiles.labels), np.full(16, 5))
    low, high = LeftOut(tiles, tiles, LEAVE_OUT[kind], np.random.default_rng(1)).rise_interval(1.0, [repeated])
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
            ends.append(LeftOut(real, other, LEAVE_OUT[kind], rng).rise_interval(rises[-1], [Destroyed(fake, origins)]))
    expected = np.mean(rises)
    assert np.mean([low <= expected <= high for low, high in ends]) >= 0.9
    assert np.mean([high - low for low, high in ends]) < 2 * 1.96 * np.std(rises) * 2
