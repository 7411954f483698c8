"""Intervals of scores over tiles: their coverage by simulation, and what they are for the simplest score."""

from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import ttest_ind

from fedray.evaluation import interval_names
from fedray.evaluation.jackknife import intervals_of
from fedray.evaluation.metrics import Metric, Sample, Scores, metrics_of
from fedray.evaluation.metrics.c2st import C2st

METRICS = [metric for metric in metrics_of("some", ["a", "b"]) if not isinstance(metric, C2st)]


def sample(features: np.ndarray, num_labels: int = 1) -> Sample:
    return Sample(features.astype(np.float32), np.arange(len(features)) % num_labels)


def both(of: Sample) -> dict[str, Sample]:
    return {"some": of, "texture": of}


class MeanShift(Metric):
    """Difference of the means of the first feature."""

    kinds: ClassVar = {"shift": "min"}
    least = -np.inf
    min_tiles = 2
    min_label_tiles = 2

    def measure(self, real: Sample, fake: Sample) -> tuple[float]:
        return (float(fake.features[:, 0].mean() - real.features[:, 0].mean()),)


def test_of_means_it_is_students_interval_but_for_how_groups_pair() -> None:
    """Two tiles a group of either set: an interval of 19 degrees of freedom, of the same length on average."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(200):
        x, y = rng.normal(size=(40, 1)), rng.normal(0.5, 2.0, size=(40, 1))
        ends = intervals_of([MeanShift("some", ["a"])], both(sample(x)), both(sample(y)))
        low, high = ends["shift-low/some/40"], ends["shift-high/some/40"]
        expected = ttest_ind(y[:, 0], x[:, 0], equal_var=False).confidence_interval(0.95)
        assert (low + high) / 2 == pytest.approx(y.mean() - x.mean(), abs=1e-6)
        ratios.append((high - low) / (expected.high - expected.low))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06)


def test_every_score_has_one_interval_that_holds_it() -> None:
    rng = np.random.default_rng(0)
    real, fake = sample(rng.normal(size=(80, 5)), 2), sample(rng.normal(0.5, 1.0, (80, 5)), 2)
    real, fake = (Sample(one.features, one.labels, np.arange(80) // 40) for one in (real, fake))
    metrics = metrics_of("some", ["a", "b"], ["here", "there"])
    ends = intervals_of(metrics, both(real), both(fake))
    scores: Scores = {}
    for metric in metrics:
        scores |= metric.values(both(real)[metric.features], both(fake)[metric.features])
    own = {name for name in scores if name.startswith("c2st")}
    names = [name for name in scores if name not in own]
    assert ends.keys() == {end for name in names for end in interval_names(name)}
    assert any("/domain/there" in name for name in ends) and any("/label/b" in name for name in ends)
    for name in names:
        low, high = (ends[end] for end in interval_names(name))
        assert low < scores[name] < high or (scores[name] == 1 == high and low < 1), name


def test_a_share_of_none_or_all_has_a_length_and_ends_at_0_and_1() -> None:
    rng = np.random.default_rng(0)
    real, far = sample(rng.normal(size=(40, 3))), sample(rng.normal(100.0, 1.0, (40, 3)))
    ends = intervals_of(METRICS, both(real), both(far))
    assert ends["coverage-low/some/40"] == 0 < ends["coverage-high/some/40"] < 0.2
    ends = intervals_of(METRICS, both(real), both(real))
    assert 0.8 < ends["recall-low/some/40"] < 1 == ends["recall-high/some/40"]


@pytest.mark.parametrize("num", [3, 6])
def test_too_few_tiles_have_none(num: int) -> None:
    tiles = both(sample(np.random.default_rng(0).normal(size=(num, 3))))
    kinds = {name.partition("/")[0] for name in intervals_of(METRICS, tiles, tiles)}
    assert kinds == ({"fid-low", "fid-high", "kid-low", "kid-high", "sliced-low", "sliced-high", "distance-low",
                      "distance-high"} if num == 6 else set())  # fmt: skip


def test_they_hold_the_expected_score_in_90_to_99_of_100_pairs_of_sets() -> None:
    """Of 100 pairs of sets, drawn from two distributions that overlap; the truth is the mean over all pairs."""
    rng = np.random.default_rng(0)
    scores: list[Scores] = []
    ends: list[Scores] = []
    for _ in range(100):
        real, fake = (both(sample(rng.normal(*at, size=(60, 4)))) for at in ((0.0, 1.0), (0.7, 1.2)))
        values: Scores = {}
        for metric in METRICS:
            values |= metric.values(real[metric.features], fake[metric.features])
        scores.append(values)
        ends.append(intervals_of(METRICS, real, fake))
    for name in scores[0]:
        truth = np.mean([values[name] for values in scores])
        low, high = interval_names(name)
        assert 0.9 <= np.mean([found[low] <= truth <= found[high] for found in ends]) <= 0.99, name
