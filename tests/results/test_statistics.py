"""Means, intervals and paired differences, against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from fedray.evaluation import range_of
from fedray.results.statistics import difference, estimate


@pytest.mark.parametrize("num", [2, 3, 5, 30])
def test_intervals_are_those_of_students_t(num):
    random = np.random.default_rng(num)
    values, baseline = random.normal(0.8, 0.05, (2, num))
    found = estimate(values)
    low, high = stats.t.interval(0.95, num - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found == pytest.approx((values.mean(), low, high, num))
    paired = difference(dict(enumerate(values)), dict(enumerate(baseline)))
    test = stats.ttest_rel(values, baseline)
    expected = test.confidence_interval(0.95)
    assert paired == pytest.approx((np.mean(values - baseline), expected.low, expected.high, num))
    assert paired.excludes_zero == (test.pvalue < 0.05)


def test_intervals_cover_the_truth_and_shown_differences_are_as_rare_as_promised():
    random = np.random.default_rng(0)
    draws = random.normal(2.0, 1.0, (2000, 3))
    found = [estimate(draw) for draw in draws]
    assert 0.93 < np.mean([each.low <= 2.0 <= each.high for each in found]) < 0.97
    alike = [
        difference(dict(enumerate(one)), dict(enumerate(other))) for one, other in zip(draws, draws[::-1], strict=True)
    ]
    assert 0.03 < np.mean([each.excludes_zero for each in alike]) < 0.07


def test_pairs_are_those_of_equal_seeds():
    found = difference({0: 1.0, 1: 2.0, 7: 9.0}, {1: 1.5, 0: 0.9, 5: 3.0})
    assert (found.mean, found.num) == (pytest.approx(0.3), 2)
    assert difference({0: 1.0}, {1: 1.0}) is None


def test_a_single_seed_has_no_interval_and_shows_nothing():
    alone = estimate([0.7])
    assert alone.mean == 0.7 and math.isnan(alone.low) and math.isnan(alone.high)
    assert not alone.excludes_zero
    same = difference({0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5})
    assert (same.low, same.high, same.excludes_zero) == (0.0, 0.0, False)


def test_an_interval_ends_where_the_score_does():
    few = estimate([0.2, 0.5, 0.9])
    assert few.low < 0 and few.high > 1
    assert few.within(*range_of("balanced-accuracy/293")) == few._replace(low=0.0, high=1.0)
    assert few.within(*range_of("coverage/efficientnet-lite0/256"))[1:3] == (0.0, 1.0)
    assert few.within(*range_of("c2st/texture/256"))[1:3] == (0.0, 1.0)
    assert few.within(*range_of("fid/efficientnet-lite0/256"))[1:3] == (0.0, few.high)
    assert few.within(*range_of("kid/efficientnet-lite0/256")) == few  # unbiased, so it can fall below 0
    alone = estimate([0.7]).within(0, 1)
    assert math.isnan(alone.low) and math.isnan(alone.high)
