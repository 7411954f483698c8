"""FID and KID from sums over tiles: sites send these of their real ones, and the scores are those of all tiles at once.

Sums of two sites add up to those of both, so nobody needs to see a feature. FID needs the mean and the scatter about it
(merged pairwise in float64: raw second moments would cancel). KID's kernel (x.y / d + 1)^3 is a polynomial, so its sum
over all pairs of two sets is an inner product of their moments up to the third order; a set's own pairs of a tile with
itself are one number more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fedray.learning import Arrays
from fedray.randomness import stream

WIDEST_KERNEL = 256
"""Features of which third moments are sent as they are: 2.8 million numbers of 248 features."""
PROJECTED = 64
"""Of wider ones, so many random combinations: 45,760 numbers. The score's name says so."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureSums:
    """Sums over the features of a set of tiles.

    Attributes:
        num: Tiles, >= 1.
        mean: Of the features, [d].
        scatter: Sum of (x - mean)(x - mean)', [d, d].
        first: Sum of u = z / sqrt(k), [k], with z the features that KID is computed in: those themselves, or
            :data:`PROJECTED` combinations of more than :data:`WIDEST_KERNEL`.
        second: Sum of u u', above the diagonal and on it, [k (k + 1) / 2].
        third: Sum of u u u of i <= j <= k, [k (k + 1) (k + 2) / 6].
        same: Sum of the kernel of each tile with itself.
    """

    num: int
    mean: Floats
    scatter: Floats
    first: Floats
    second: Floats
    third: Floats
    same: float

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> "FeatureSums":
        """Sum over features, [n, d], n >= 1."""
        exact = features.astype(np.float64)
        mean = exact.mean(0)
        centred = exact - mean
        scaled = kernel_features(exact) / np.sqrt(kernel_width(exact.shape[1]))
        return cls(
            num=len(exact),
            mean=mean,
            scatter=centred.T @ centred,
            first=scaled.sum(0),
            second=(scaled.T @ scaled)[np.triu_indices(scaled.shape[1])],
            third=_third(scaled),
            same=float(np.sum((np.sum(scaled**2, 1) + 1) ** 3)),
        )

    def arrays(self) -> Arrays:
        """Return them as arrays by name, for a message."""
        numbers = {"num": np.array(float(self.num)), "same": np.array(self.same)}
        return numbers | {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "FeatureSums":
        """Read what :meth:`arrays` returned."""
        found = {name: arrays[name].astype(np.float64) for name in _ARRAYS}
        return cls(num=int(arrays["num"]), same=float(arrays["same"]), **found)


_ARRAYS = ("mean", "scatter", "first", "second", "third")


def kernel_width(width: int) -> int:
    """Features that KID is computed in, of so many."""
    return width if width <= WIDEST_KERNEL else PROJECTED


def kernel_features(features: Floats) -> Floats:
    """Return features, [n, d], as KID takes them, [n, k]: of many, fixed random combinations of unit variance."""
    if features.shape[1] <= WIDEST_KERNEL:
        return features
    return features @ _projection(features.shape[1])


@cache
def _projection(width: int) -> Floats:
    # Johnson-Lindenstrauss: inner products per feature stay as they are, in expectation.
    drawn: Floats = stream(0, "kid-projection", width).normal(size=(width, PROJECTED)) / np.sqrt(width)
    return drawn


def merged_sums(parts: Iterable[FeatureSums]) -> FeatureSums:
    """Add up sums, in the order given.

    The scatter of two sets about their common mean follows Chan et al. (1979).
    """
    first, *others = parts
    for other in others:
        num, shift = first.num + other.num, other.mean - first.mean
        first = FeatureSums(
            num=num,
            mean=first.mean + shift * (other.num / num),
            scatter=first.scatter + other.scatter + np.outer(shift, shift) * (first.num * other.num / num),
            first=first.first + other.first,
            second=first.second + other.second,
            third=first.third + other.third,
            same=first.same + other.same,
        )
    return first


def fid_of_sums(real: FeatureSums, fake: FeatureSums) -> float:
    """Fréchet distance of two Gaussians, as :func:`fedray.evaluation.metrics.distances.fid`; num >= 2 each.

    tr((C D)^1/2) is the sum of the square roots of the eigenvalues of A C A', with D = A'A.
    """
    shift = real.mean - fake.mean
    covariance = real.scatter / (real.num - 1)
    root = _root(fake.scatter / (fake.num - 1))
    eigenvalues = np.linalg.eigvalsh(root @ covariance @ root.T).clip(0.0)
    traces = np.trace(covariance) + np.sum(root**2)
    return float(shift @ shift + traces - 2 * np.sqrt(eigenvalues).sum())


def kid_of_sums(real: FeatureSums, fake: FeatureSums) -> float:
    """Kernel distance over all tiles, as :func:`fedray.evaluation.metrics.distances.kid`; num >= 2 each."""
    within = sum((_kernel_sum(own, own) - own.same) / (own.num * (own.num - 1)) for own in (real, fake))
    return float(within - 2 * _kernel_sum(real, fake) / (real.num * fake.num))


def _root(covariance: Floats) -> Floats:
    """Return A with A'A = C, without the directions in which C is rounding alone: the root would magnify it."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    root: Floats = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    return root


def _kernel_sum(one: FeatureSums, other: FeatureSums) -> float:
    """Sum (u.v + 1)^3 over all pairs of a tile of one set and one of the other."""
    second, third = _multiplicities(len(one.first))
    cubes = np.sum(third * one.third * other.third)
    squares = np.sum(second * one.second * other.second)
    return float(cubes + 3 * squares + 3 * (one.first @ other.first) + one.num * other.num)


def _third(scaled: Floats) -> Floats:
    """Sum u_i u_j u_k over the rows, for i <= j <= k, [k (k + 1) (k + 2) / 6]."""
    width = scaled.shape[1]
    blocks = (scaled[:, first:] for first in range(width))
    sums = ((rest * rest[:, :1]).T @ rest for rest in blocks)
    return np.concatenate([block[np.triu_indices(len(block))] for block in sums])


@cache
def _multiplicities(width: int) -> tuple[Floats, Floats]:
    """Say how often each packed second and third moment stands in the whole tensor: 1, 2; and 1, 3 or 6 times."""
    rows, columns = np.triu_indices(width)
    second = np.where(rows == columns, 1.0, 2.0)
    blocks = []
    for size in range(width, 0, -1):
        j, k = np.triu_indices(size)  # counted from i
        same = (j == 0).astype(int) + (j == k)
        blocks.append(np.array([6.0, 3.0, 1.0])[same])
    return second, np.concatenate(blocks)
