"""Distances along lines: against SciPy, assignments, closed forms of Gaussians, and MIND's formula."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid
from fedray.evaluation.metrics.transport import StatisticsDistance, scales, sliced, standardised_distances, wasserstein


def sample(features: np.ndarray) -> Sample:
    return Sample(features.astype(np.float32), np.zeros(len(features), np.int64))


def gaussian(num: int, mean: np.ndarray, deviations: np.ndarray, seed: int) -> Sample:
    return sample(mean + deviations * np.random.default_rng(seed).normal(size=(num, len(mean))))


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 17), (1, 12), (12, 1), (30, 60)])
def test_distances_of_numbers_are_those_of_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.normal(size=(3, n))), np.sort(rng.normal(0.5, 2.0, size=(3, m)))
    expected = [wasserstein_distance(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(wasserstein(a, b, order=1), expected)


@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 20), (14, 21)])
def test_squared_distances_are_those_of_the_best_assignment(n: int, m: int) -> None:
    """Each number as often as makes both sets equally large; no matching is cheaper."""
    rng = np.random.default_rng(1)
    a, b = np.sort(rng.normal(size=n)), np.sort(rng.exponential(size=m))
    lots = np.lcm(n, m)
    costs = (np.repeat(a, lots // n)[:, np.newaxis] - np.repeat(b, lots // m)) ** 2
    assert wasserstein(a, b, order=2) == pytest.approx(costs[linear_sum_assignment(costs)].mean())


@pytest.mark.parametrize("width", [1, 7, 248])
def test_of_shifted_tiles_it_is_the_squared_shift_as_of_fid(width: int) -> None:
    """Exactly: along a whole basis the squares of a shift add up."""
    rng = np.random.default_rng(width)
    real, shift = rng.normal(size=(50, width)).astype(np.float32), rng.normal(size=width)
    found = sliced(sample(real), sample(real + shift))
    assert found == pytest.approx(shift @ shift, rel=1e-5)
    assert found == pytest.approx(fid(sample(real), sample(real + shift)), rel=1e-3)


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 2.0), (-1.0, 0.5), (0.3, 1.5)])
def test_of_round_gaussians_it_is_the_closed_form_as_of_fid(shift: float, scale: float) -> None:
    """Of N(0, I) and N(a, s^2 I) every projection is Gaussian: |a|^2 + d (s - 1)^2, FID's very formula."""
    means, ones = np.zeros(8), np.ones(8)
    real, fake = gaussian(20_000, means, ones, seed=0), gaussian(20_000, means + shift, scale * ones, seed=1)
    expected = 8 * (shift**2 + (scale - 1) ** 2)
    assert sliced(real, fake) == pytest.approx(expected, rel=0.05)
    assert fid(real, fake) == pytest.approx(expected, rel=0.05)


def test_of_long_gaussians_it_is_the_mean_over_all_directions() -> None:
    """Of variances that differ by direction: the mean of (s(u) - s'(u))^2 over directions u, drawn anew here."""
    deviations = np.array([3.0, 1.0, 1.0, 0.2])
    u = np.random.default_rng(5).normal(size=(200_000, 4))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    along = [np.sqrt((u**2) @ d**2) for d in (deviations, deviations[::-1])]
    expected = 4 * np.mean((along[0] - along[1]) ** 2)
    real = gaussian(20_000, np.zeros(4), deviations, seed=0)
    fake = gaussian(20_000, np.zeros(4), deviations[::-1], seed=1)
    assert sliced(real, fake) == pytest.approx(expected, rel=0.1)


def test_it_is_a_third_of_minds_formula() -> None:
    """3 d / (n M) times all squared gaps, over M independent unit directions (arXiv 2605.06797)."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(200, 30)), rng.gamma(2.0, 0.7, size=(200, 30))
    u = rng.normal(size=(5000, 30))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    gaps = np.sort(real @ u.T, axis=0) - np.sort(fake @ u.T, axis=0)
    mind = 3 * 30 / (200 * 5000) * np.sum(gaps**2)
    assert 3 * sliced(sample(real), sample(fake)) == pytest.approx(mind, rel=0.03)


def test_few_tiles_bias_it_less_than_fid() -> None:
    """Two draws of one distribution, with as many tiles as features: how much of a shift of 1 would they take for?"""
    real, fake = (gaussian(64, np.zeros(64), np.ones(64), seed) for seed in (0, 1))
    shifted = sample(fake.features + 1)
    assert sliced(real, fake) / sliced(real, shifted) < 0.1 < 0.3 < fid(real, fake) / fid(real, shifted)


def test_statistics_are_apart_by_what_scipy_says_in_standard_deviations_of_the_real_ones() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal([0.0, 100.0, -3.0], [1.0, 20.0, 0.01], (50, 3)).astype(np.float32)
    fake = rng.normal([1.0, 90.0, -3.0], [1.0, 40.0, 0.02], (50, 3)).astype(np.float32)
    expected = [wasserstein_distance(real[:, i], fake[:, i]) / real[:, i].astype(float).std() for i in range(3)]
    np.testing.assert_allclose(standardised_distances(sample(real), sample(fake)), expected, rtol=1e-6)


def test_the_score_is_the_mean_of_their_bounded_distances() -> None:
    """However far one statistic is, the others count as much."""
    real = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    fake = real + np.array([0.0, 1.0, 1e6], np.float32) * real.std(0)
    [found] = StatisticsDistance("texture", []).measure(sample(real), sample(fake))
    assert found == pytest.approx((0 + 0.5 + 1) / 3, abs=1e-3)


def test_a_statistic_that_does_not_vary_is_measured_as_it_is() -> None:
    """Not in what rounding leaves of a standard deviation."""
    same = np.full((40, 2), [0.1, 1e8 + 8], np.float32)
    assert scales(sample(same)).tolist() == [1.0, 1.0]
    assert standardised_distances(sample(same), sample(same + 32))[0] == pytest.approx(32)
