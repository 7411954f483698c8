"""Weighted sums of arrays, one set after another: small ones in rows that a product adds up, large ones in place."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..wire.finite import is_finite

NUM_ROWS = 32
_SMALL = 1 << 14  # elements of all arrays together: the rows are 4 MiB then, and fit a core's cache
_BLAS_SIZES = range(1 << 16, 1 << 31)  # elements: below it does not pay to load SciPy, above BLAS cannot count them


class Sums(Protocol):
    """Sums of ``weight * array``, one for each array of a set. All sets have the same shapes and dtypes."""

    @property
    def nbytes(self) -> int:
        """Size of the sums in bytes."""
        ...

    def add(self, arrays: Sequence[NDArray[Any]], weight: float) -> bool:
        """Add a set, or return False and leave the sums as they are: one of it is not finite."""
        ...

    def totals(self) -> list[NDArray[Any]]:
        """Return the sums. It ends them."""
        ...


def sums_of(arrays: Sequence[NDArray[Any]]) -> Sums:
    """Return empty sums for sets like this one."""
    small = sum(array.size for array in arrays) <= _SMALL
    return RowSums(arrays) if small and not any(array.dtype.kind == "c" for array in arrays) else LargeSums()


class RowSums:
    """Sums of real arrays in float64. A set is copied into a row, and many rows are added at once.

    A NumPy call takes as long as a thousand additions do: three for every array of every set cost more than the sums.
    """

    def __init__(self, like: Sequence[NDArray[Any]]) -> None:
        """Make room for sets like this one."""
        ends = np.cumsum([array.size for array in like], dtype=np.int64)
        self._total = np.zeros(int(ends[-1]) if like else 0)
        self._rows = np.zeros((NUM_ROWS, len(self._total)))
        self._weights = np.zeros(NUM_ROWS)
        self._filled = 0
        self._places = [_parts(row, ends, like) for row in self._rows]
        self._parts = _parts(self._total, ends, like)
        self.nbytes = self._total.nbytes

    def add(self, arrays: Sequence[NDArray[Any]], weight: float) -> bool:
        """Add a set, or return False if it is not finite."""
        for place, array in zip(self._places[self._filled], arrays, strict=True):
            place[...] = array
        if not is_finite(self._rows[self._filled]):
            return False
        self._weights[self._filled] = weight
        self._filled += 1
        if self._filled == NUM_ROWS:
            self._add_up()
        return True

    def totals(self) -> list[NDArray[Any]]:
        """Return the sums."""
        self._add_up()
        return self._parts

    def _add_up(self) -> None:
        self._total += self._weights[: self._filled] @ self._rows[: self._filled]
        self._filled = 0


class LargeSums:
    """Sums in the dtype of a mean, float32 at least, each array added where its sum is."""

    def __init__(self) -> None:
        """Start without an array."""
        self._totals: list[NDArray[Any]] = []

    @property
    def nbytes(self) -> int:
        """Size of the sums in bytes."""
        return sum(total.nbytes for total in self._totals)

    def add(self, arrays: Sequence[NDArray[Any]], weight: float) -> bool:
        """Add a set, or return False if it is not finite."""
        if not all(map(is_finite, arrays)):
            return False
        if not self._totals:
            self._totals = [_scaled(array, weight) for array in arrays]
        else:
            for total, array in zip(self._totals, arrays, strict=True):
                _add_scaled(total, array, weight)
        return True

    def totals(self) -> list[NDArray[Any]]:
        """Return the sums."""
        return self._totals


def _parts(row: NDArray[Any], ends: NDArray[np.int64], like: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """View a row as the arrays that lie in it one after the other."""
    return [row[end - array.size : end].reshape(array.shape) for end, array in zip(ends, like, strict=True)]


@lru_cache(maxsize=64)
def mean_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what Flower's average makes of a dtype: floats stay, integers become float64."""
    return np.asarray(np.zeros(1, dtype) * 0.5).dtype


@lru_cache(maxsize=64)
def _total_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # Sums of weights in the thousands leave float16's range.
    return np.promote_types(mean_dtype(dtype), np.float32)


def _scaled(array: NDArray[Any], weight: float) -> NDArray[Any]:
    return np.asarray(np.multiply(array, weight, dtype=_total_dtype(array.dtype)))


def _add_scaled(total: NDArray[Any], array: NDArray[Any], weight: float) -> None:
    """Add ``weight * array`` to ``total`` in place, with BLAS where it can: in one pass over memory, not in three."""
    if (
        array.size in _BLAS_SIZES
        and array.flags.c_contiguous
        and total.flags.c_contiguous
        and (axpy := _axpy(total.dtype)) is not None
    ):
        axpy(array.astype(total.dtype, copy=False).reshape(-1), total.reshape(-1), a=weight)
    else:
        np.add(total, _scaled(array, weight), out=total)


@lru_cache(maxsize=64)
def _axpy(dtype: np.dtype[Any]) -> Callable[..., Any] | None:
    """Return BLAS's ``y += a * x`` for float32 or float64, None for other dtypes."""
    from scipy.linalg import blas  # a tenth of a second: not before it is needed

    return {"f": blas.saxpy, "d": blas.daxpy}.get(dtype.char)
