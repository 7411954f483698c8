"""The classifier two-sample test: how well a small classifier tells generated tiles from real ones.

The classifier is scikit-learn's ``LogisticRegression``, computed here for all folds at once: fitted there one by one,
checks and conversions took four times as long as the numbers, and each label of each round has its folds.
"""

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.evaluation.metrics.base import Features, Metric, Mode, Sample
from fedray.evaluation.metrics.shares import wilson
from fedray.randomness import stream

NUM_FOLDS = 5
REGULARISATION = 0.1
"""scikit-learn's ``C``: the inverse weight of the squared coefficients of standardised columns."""
MAX_COLUMNS = 64
"""Wider features are reduced to so many principal components at most."""
TILES_A_COLUMN = 4
"""Tiles of either set for each column, at least: with 64 columns of 64 tiles a classifier learns the tiles by heart,
and took one plain grey for real (0.5)."""
DEPENDENCE = 1.7
"""By how much the variance of a cross-validated accuracy exceeds a binomial one, at most, as folds share their training
tiles. Found by simulation at 8 to 64 columns and 32 to 256 tiles; Nadeau and Bengio (2003) would have 2.25, always."""
QUANTILE = 1.959963984540054
"""Of the standard normal distribution, for an interval of 95 %."""
SAME = 1e-4
"""Root mean square of the difference of standardised columns below which two tiles count as copies."""

Floats = NDArray[np.float64]


class C2st(Metric):
    """Balanced accuracy of a classifier, from 0.5 (indistinguishable) to 1, with the ends of its interval."""

    kinds: ClassVar[dict[str, Mode | None]] = {"c2st": "min", "c2st-low": None, "c2st-high": None}
    most = 1.0
    min_tiles = 2 * NUM_FOLDS
    min_label_tiles = 32  # below, an interval spans most of the scale

    def measure(self, real: Sample, fake: Sample) -> tuple[float, float, float]:
        """See :func:`c2st` and :func:`interval`."""
        accuracy = c2st(real.features, fake.features)
        return accuracy, *interval(accuracy, 2 * len(real))


def c2st(real: Features, fake: Features) -> float:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545).

    The balanced accuracy, out of fold, of a regularised logistic regression of 5-fold cross-validation: 0.5 is expected
    where both sets come from one distribution, 1 where they do not overlap. The order of tiles has no meaning.

    Args:
        real: [n, d], n >= 10.
        fake: [n, d].
    """
    assert len(real) == len(fake) >= 2 * NUM_FOLDS
    tiles, is_fake = prepared(real, fake)
    answers = decide(tiles, is_fake, folds(tiles[~is_fake], tiles[is_fake]))
    return float(np.mean(answers == is_fake))  # equally many of both: accuracy is balanced


def interval(accuracy: float, num_tiles: int) -> tuple[float, float]:
    """Interval of 95 % for the accuracy expected of such classifiers, from a cross-validated one (Wilson's score).

    Args:
        accuracy: In [0, 1].
        num_tiles: Real and generated tiles together.
    """
    return wilson(accuracy, QUANTILE**2 * DEPENDENCE / num_tiles)


def prepared(real: Features, fake: Features) -> tuple[Floats, NDArray[np.bool_]]:
    """Order, standardise and, where they are wide, reduce both sets together.

    No step sees which tile is generated, so none gives the classifier an answer away.

    Returns:
        Tiles, [2n, d] with d <= 64 and d <= n / 4, and which of them are generated, [2n].
    """
    tiles = np.concatenate([_sorted(real), _sorted(fake)]).astype(np.float64)
    tiles = _standardised(tiles)
    most = min(MAX_COLUMNS, len(real) // TILES_A_COLUMN)
    if tiles.shape[1] > most:
        tiles = _standardised(_principal_components(tiles, most))
    return tiles, np.arange(len(tiles)) >= len(real)


def folds(real: Floats, fake: Floats) -> NDArray[np.int64]:
    """Deal the tiles of both sets, standardised [n, d] each, to folds: as many real as generated ones in each.

    A generated copy of a real tile lies in its fold. Otherwise the classifier would learn the wrong answer for it from
    its twin, and a set would be told from itself worse than by chance. Of several copies one does: the others show
    that the generator repeats itself.

    Returns:
        Fold of each tile, [2n], real ones first.
    """
    rng = stream(0, "evaluation", "c2st")
    of_real = rng.permutation(len(real)) % NUM_FOLDS
    twin = _twins(real, fake)
    of_fake = np.where(twin >= 0, of_real[twin], -1)
    left = np.bincount(of_real, minlength=NUM_FOLDS) - np.bincount(of_fake[twin >= 0], minlength=NUM_FOLDS)
    of_fake[twin < 0] = rng.permutation(np.repeat(np.arange(NUM_FOLDS), left))
    return np.concatenate([of_real, of_fake])


def decide(tiles: Floats, is_fake: NDArray[np.bool_], fold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Judge each tile by a logistic regression that was fitted to the other folds (Newton's method, all folds at once).

    As scikit-learn's ``LogisticRegression(C=0.1)``: the intercept is not regularised.

    Args:
        tiles: [2n, d], standardised.
        is_fake: [2n], what is to be learned.
        fold: [2n], 0 to 4.

    Returns:
        Which tiles are taken for generated ones, [2n].
    """
    from scipy.special import expit  # here: half a second with what it brings, and most processes evaluate nothing

    design = np.concatenate([tiles, np.ones((len(tiles), 1))], axis=1)
    learned = (fold != np.arange(NUM_FOLDS)[:, np.newaxis]).astype(np.float64)  # [folds, 2n]
    ridge = np.append(np.full(tiles.shape[1], 1 / REGULARISATION), 0.0)
    weights = np.zeros((NUM_FOLDS, design.shape[1]))
    for _ in range(100):
        probabilities = expit(weights @ design.T)
        gradient = (learned * (probabilities - is_fake)) @ design + ridge * weights
        curvature = learned * probabilities * (1 - probabilities)
        hessian = np.stack([(design.T * row) @ design for row in curvature]) + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient[..., np.newaxis])[..., 0]
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    answers: NDArray[np.bool_] = np.einsum("td,td->t", design, weights[fold]) > 0
    return answers


def _sorted(features: Features) -> Features:
    order = np.argsort(features[:, 0], kind="stable")
    if not np.diff(features[order, 0]).all():  # tiles tie in the first column, so the others decide
        order = np.lexsort(features.T[::-1])
    return features[order]


def _standardised(tiles: Floats) -> Floats:
    deviations = tiles.std(0)
    varies = deviations > 1e-9 * np.abs(tiles).max(0)  # rounding alone is no difference
    standardised: Floats = (tiles - tiles.mean(0)) / np.where(varies, deviations, np.inf)
    return standardised


def _principal_components(tiles: Floats, num: int) -> Floats:
    """Reduce centred tiles, [2n, d], to their first principal components, [2n, num]; of either sign."""
    _, axes = torch.linalg.eigh(torch.from_numpy(tiles.T @ tiles))  # half of NumPy's time
    reduced: Floats = tiles @ axes.numpy()[:, : -num - 1 : -1]
    return reduced


def _twins(real: Floats, fake: Floats) -> NDArray[np.int64]:
    """For each generated tile the real one that it is a copy of, [n], or -1; no real tile has two."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import KDTree

    reach = SAME * np.sqrt(real.shape[1])
    close = KDTree(fake).sparse_distance_matrix(KDTree(real), reach, output_type="ndarray")
    copies = csr_array((np.ones(len(close), np.int8), (close["i"], close["j"])), shape=(len(fake), len(real)))
    matched: NDArray[np.int64] = maximum_bipartite_matching(copies, perm_type="column").astype(np.int64)
    return matched
