"""The two-sample test: scikit-learn's answers, expected accuracies of planted mixtures, intervals that cover."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.preprocessing import StandardScaler

from fedray.evaluation.metrics.c2st import NUM_FOLDS, c2st, decide, folds, interval, prepared


def gaussian(n: int, columns: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Tiles with columns of different size that hang together, shifted along all of them."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(shift, 1.0, (n, columns)) @ np.random.default_rng(9).normal(size=(columns, columns))
    return (mixed * np.geomspace(1e-3, 1e3, columns)).astype(np.float32)


def by_sklearn(tiles: np.ndarray, is_fake: np.ndarray, fold: np.ndarray) -> np.ndarray:
    classifier = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000)
    return cross_val_predict(classifier, tiles, is_fake, cv=PredefinedSplit(fold))


@pytest.mark.parametrize(
    ("n", "columns", "shift"), [(12, 3, 0.0), (33, 5, 0.4), (110, 26, 0.1), (104, 26, 5.0), (256, 64, 0.05)]
)
def test_every_answer_is_that_of_scikit_learn(n: int, columns: int, shift: float) -> None:
    real, fake = gaussian(n, columns), gaussian(n, columns, shift, seed=1)
    tiles, is_fake = prepared(real, fake)
    np.testing.assert_allclose(
        np.sort(tiles, 0), np.sort(StandardScaler().fit_transform(np.r_[real, fake]), 0), 1e-3, 1e-3
    )
    fold = folds(tiles[:n], tiles[n:])
    expected = by_sklearn(tiles, is_fake, fold)
    assert np.array_equal(decide(tiles, is_fake, fold), expected)
    assert c2st(real, fake) == pytest.approx(balanced_accuracy_score(is_fake, expected), abs=1e-12)


def test_wide_features_are_reduced_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(160, 10)) @ rng.normal(size=(10, 300))
    features = (latent + 0.1 * rng.normal(size=latent.shape)).astype(np.float32)
    features[80:, :40] += 1.0
    tiles, is_fake = prepared(features[:80], features[80:])
    order = np.concatenate([80 * half + np.lexsort(features[80 * half : 80 * half + 80].T[::-1]) for half in (0, 1)])
    scaled = StandardScaler().fit_transform(features[order].astype(np.float64))
    expected = StandardScaler().fit_transform(PCA(20, svd_solver="full").fit_transform(scaled))
    expected *= np.sign(np.sum(expected * tiles, axis=0))  # an axis may point either way
    np.testing.assert_allclose(tiles, expected, atol=1e-6)
    fold = folds(tiles[:80], tiles[80:])
    assert c2st(features[:80], features[80:]) == np.mean(by_sklearn(expected, is_fake, fold) == is_fake)


@pytest.mark.parametrize("shift", [3.0, 30.0])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("source", ["the very tiles", "other real tiles"])
def test_a_planted_share_of_real_tiles_gives_the_accuracy_expected(shift: float, share: float, source: str) -> None:
    """A share s that nothing tells apart, the rest wholly apart: the best balanced accuracy is 1 - s / 2.

    All real tiles taken for real (recall 1), and of the generated ones the rest for generated (recall 1 - s); to take
    the part in doubt for generated instead would lose as much of the one recall as it gains of the other.
    """
    n, planted = 200, round(share * 200)
    found = []
    for seed in range(0, 15, 3):
        real, other, fake = gaussian(n, 8, seed=seed), gaussian(n, 8, seed=seed + 1), gaussian(n, 8, shift, seed + 2)
        fake[:planted] = (real if source == "the very tiles" else other)[:planted]
        found.append(c2st(real, fake))
    assert np.mean(found) == pytest.approx(1 - share / 2, abs=0.05)
    ends = [interval(accuracy, 2 * n) for accuracy in found]
    assert sum(low <= 1 - share / 2 <= high for low, high in ends) >= 4
    if share == 1.0 and source == "the very tiles":
        assert found == [0.5] * 5


def test_repeated_tiles_are_told_apart() -> None:
    real = gaussian(200, 26)
    once, few = gaussian(200, 26, seed=1), np.resize(gaussian(8, 26, seed=1), (200, 26))
    copies = np.resize(real[:8], (200, 26))
    assert c2st(real, few) > 0.8 > 0.6 > c2st(real, once)
    assert c2st(real, copies) > 0.7


@pytest.mark.parametrize("n", [10, 16, 32, 64, 128])
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_tiles_that_are_all_but_one_are_told_apart_however_few_and_wide(n: int, spread: float) -> None:
    """One plain grey, or noise: without spread of their own, but no further away than real tiles from each other."""
    scales = np.linspace(3.0, 0.05, 248, dtype=np.float32)
    real, other = (gaussian(n, 248, seed=seed) * scales for seed in (0, 1))
    alike = gaussian(1, 248, seed=2) * scales + spread * gaussian(n, 248, seed=3) * scales
    assert c2st(real, alike) > 0.9
    assert 0.2 < c2st(real, other) < 0.8


def test_folds_hold_as_many_of_both_and_a_copy_lies_beside_its_original() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(53, 6)), rng.normal(size=(53, 6))
    fake[10:30] = real[rng.permutation(53)[:20]] + 1e-6  # rounding of another batch
    fake[30:40] = fake[10]
    fold = folds(real, fake)
    of_real, of_fake = fold[:53], fold[53:]
    assert np.array_equal(np.bincount(of_real), np.bincount(of_fake)) and len(np.bincount(of_real)) == NUM_FOLDS
    original = np.array([np.abs(real - tile).sum(1).argmin() for tile in fake[11:30]])
    assert np.array_equal(of_fake[11:30], of_real[original])
    assert len(np.unique(of_fake[30:40])) > 1  # nine copies of a tile whose original has one already


@pytest.mark.parametrize(("n", "shift"), [(32, 0.0), (32, 0.5), (128, 0.0), (128, 0.2), (128, 1.0)])
def test_intervals_cover_the_expected_accuracy(n: int, shift: float) -> None:
    """Of 200 pairs of sets 93 % at least: an interval of 95 % would fall short of that in one of ten runs."""
    found = [
        c2st(gaussian(n, 12, seed=2 * pair + 100), gaussian(n, 12, shift, seed=2 * pair + 101)) for pair in range(200)
    ]
    expected = np.mean(found)
    ends = [interval(accuracy, 2 * n) for accuracy in found]
    assert np.mean([low <= expected <= high for low, high in ends]) >= 0.93
    assert np.mean([high - low for low, high in ends]) < 5.2 * np.sqrt(0.25 / (2 * n))
    if shift == 0.0:
        assert expected == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.9, 1.0])
def test_an_interval_stays_within_the_scale_and_narrows(accuracy: float) -> None:
    few, many = interval(accuracy, 64), interval(accuracy, 512)
    assert 0 <= few[0] <= many[0] <= accuracy <= many[1] <= few[1] <= 1
    assert few[1] - few[0] > many[1] - many[0] > 0


def test_constant_columns_and_constant_tiles_say_nothing() -> None:
    real, fake = gaussian(40, 5), gaussian(40, 5, 0.3, seed=1)
    constant = np.full((40, 1), 1e6, np.float32)
    assert c2st(np.hstack([real, constant]), np.hstack([fake, constant])) == c2st(real, fake)
    grey = np.ones((40, 5), np.float32)
    assert c2st(grey, grey) == 0.5
