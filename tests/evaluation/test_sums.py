"""Scores from sums, held against NumPy over all pairs and against the scores of all features at once."""

import numpy as np
import pytest

from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid, kid
from fedray.evaluation.sums import PROJECTED, FeatureSums, fid_of_sums, kernel_features, kid_of_sums, merged_sums

SITES = [1, 7, 20, 12]


def features(num, width, seed, shift=0.0):
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(num, width)) @ np.random.default_rng(9).normal(size=(width, width))
    return (mixed / np.sqrt(width) + 3 + shift).astype(np.float32)


def of_sites(real):
    parts = np.split(real, np.cumsum(SITES)[:-1])
    return merged_sums(FeatureSums.from_arrays(FeatureSums.of(part).arrays()) for part in parts)


def plain_kid(real, fake):
    """The unbiased MMD, pair by pair."""
    width = real.shape[1]

    def mean(a, b, skip):
        values = [(x @ y / width + 1) ** 3 for i, x in enumerate(a) for j, y in enumerate(b) if not (skip and i == j)]
        return np.mean(values)

    return mean(real, real, True) + mean(fake, fake, True) - 2 * mean(real, fake, False)


@pytest.mark.parametrize("width", [1, 2, 5, 60])  # 60: more features than tiles
def test_sums_of_four_sites_score_as_all_tiles_at_once(width):
    num = sum(SITES)
    real, fake = features(num, width, 1), features(num, width, 2, shift=0.3)
    pooled, generated = of_sites(real), FeatureSums.of(fake)
    samples = [Sample(each, np.zeros(num, np.int64)) for each in (real, fake)]
    assert fid_of_sums(pooled, generated) == pytest.approx(fid(*samples), rel=1e-6)
    assert kid_of_sums(pooled, generated) == pytest.approx(kid(real, fake), rel=1e-6)
    exact = plain_kid(real.astype(np.float64), fake.astype(np.float64))
    assert kid_of_sums(pooled, generated) == pytest.approx(exact, rel=1e-9)


def test_the_frechet_distance_of_sums_is_numpys_formula():
    real, fake = features(400, 6, 3), features(400, 6, 4, shift=0.2)
    means = [each.astype(np.float64).mean(0) for each in (real, fake)]
    first, second = (np.cov(each.astype(np.float64), rowvar=False) for each in (real, fake))
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0))
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(first) + np.trace(second) - 2 * roots.sum()
    assert fid_of_sums(FeatureSums.of(real), FeatureSums.of(fake)) == pytest.approx(expected, rel=1e-9)


def test_equal_sets_are_at_distance_nothing_and_a_far_mean_does_not_cancel():
    real = features(40, 12, 5) + 1e4
    assert fid_of_sums(of_sites(real), FeatureSums.of(real)) == pytest.approx(0.0, abs=1e-6)
    shifted = FeatureSums.of(real.astype(np.float64) + 1.0)
    assert fid_of_sums(of_sites(real), shifted) == pytest.approx(12.0, rel=1e-6)


def test_wide_features_are_compared_in_fixed_combinations_of_them():
    real, fake = features(40, 300, 6), features(40, 300, 7, shift=0.5)
    pooled = of_sites(real)
    assert len(pooled.third) == PROJECTED * (PROJECTED + 1) * (PROJECTED + 2) // 6
    few = [kernel_features(each.astype(np.float64)).astype(np.float32) for each in (real, fake)]
    assert kid_of_sums(pooled, FeatureSums.of(fake)) == pytest.approx(kid(*few), rel=1e-4)
    exact = plain_kid(*(kernel_features(each.astype(np.float64)) for each in (real, fake)))
    assert kid_of_sums(pooled, FeatureSums.of(fake)) == pytest.approx(exact, rel=1e-9)
