"""A weighted mean of replies, summed where they are made, as they come."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from ..wire.arrays import SharedArray, items_of, ndarray_of
from ..wire.finite import is_finite
from ..wire.merging import MERGED, MergeRule

_BLAS_SIZES = range(1 << 16, 1 << 31)  # elements: below it does not pay to load SciPy, above BLAS cannot count them


class MeanArray(SharedArray):
    """An array of a merged reply. Only the strategy's average reads it, so ``numpy()`` need not copy."""

    def numpy(self) -> NDArray[Any]:
        """Return the held memory itself, read-only."""
        return self.view()


class RunningMean:
    """Weighted mean of replies that come one after another, in the memory of one."""

    def __init__(self, rule: MergeRule) -> None:
        """Start with no reply."""
        self._rule = rule
        self._like: list[Any] = []  # what replies must have in common
        self._keys: dict[type, str] = {}  # names of the records
        self._totals: dict[str, NDArray[Any]] = {}
        self._dtypes: list[np.dtype[Any]] = []
        self._metrics: list[MetricRecord] = []
        self._weights: list[float] = []
        self.node_ids: list[int] = []

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        return sum(total.nbytes for total in self._totals.values())

    def add(self, node_id: int, content: RecordDict) -> bool:
        """Add a reply's content, or return False: it must stand alone.

        It is not like the others, has no weight, or is not finite.
        """
        parts = self._parts(content)
        if parts is None:
            return False
        arrays, metrics, weight, like = parts
        if not self._weights:
            self._like = like
            self._keys = {type(record): key for key, record in content.items()}
            self._dtypes = [array.dtype for array in arrays.values()]
        elif like != self._like:
            return False
        for name, array in arrays.items():
            if name in self._totals:
                _add_scaled(self._totals[name], array, weight)
            else:
                self._totals[name] = _scaled(array, weight)
        self._metrics.append(metrics)
        self._weights.append(weight)
        self.node_ids.append(node_id)
        return True

    def content(self) -> RecordDict:
        """Return the mean as the content of a reply whose weight is the sum of the weights. It ends this mean."""
        total_weight = sum(self._weights)
        merged = self._merged_metrics()
        merged[self._rule.weight_key] = total_weight
        content = RecordDict({self._keys[MetricRecord]: merged, MERGED: ConfigRecord({"node-ids": self.node_ids})})
        if self._rule.with_arrays:
            means = ArrayRecord()
            for (name, total), dtype in zip(self._totals.items(), self._dtypes, strict=True):
                np.divide(total, total_weight, out=total)
                means[name] = MeanArray(np.asarray(total, _mean_dtype(dtype)))
            content[self._keys[ArrayRecord]] = means
        return content

    def _merged_metrics(self) -> MetricRecord:
        if self._rule.means_of_metrics:
            return _mean_metrics(self._metrics, self._weights, self._rule.weight_key)
        records = [RecordDict({self._keys[MetricRecord]: record}) for record in self._metrics]
        return self._rule.merge_metrics(records, self._rule.weight_key)

    def _parts(self, content: RecordDict) -> tuple[dict[str, NDArray[Any]], MetricRecord, float, list[Any]] | None:
        array_records: list[tuple[str, ArrayRecord]] = []
        metric_records: list[tuple[str, MetricRecord]] = []
        for name, record in items_of(content).items():
            if isinstance(record, ArrayRecord):
                array_records.append((name, record))
            elif isinstance(record, MetricRecord):
                metric_records.append((name, record))
        if len(metric_records) != 1 or len(array_records) != (1 if self._rule.with_arrays else 0):
            return None  # the strategy will say what is wrong, or does not mind
        ((metric_key, metrics),) = metric_records
        weight = items_of(metrics).get(self._rule.weight_key)
        if not isinstance(weight, int | float) or not 0 < weight < math.inf:
            return None
        like: list[Any] = [metric_key]
        for name, value in items_of(metrics).items():
            like += (name, len(value) if isinstance(value, list) else -1)
        arrays: dict[str, NDArray[Any]] = {}
        for array_key, record in array_records:
            like.append(array_key)
            for name, array in items_of(record).items():
                ndarray = ndarray_of(array)
                if ndarray is None or ndarray.dtype.kind not in "fiubc" or not is_finite(ndarray):
                    return None
                arrays[name] = ndarray
                like += (name, ndarray.shape, ndarray.dtype)
        return arrays, metrics, weight, like


def _mean_metrics(records: list[MetricRecord], weights: list[float], weight_key: str) -> MetricRecord:
    """Do what Flower's ``aggregate_metricrecords`` does, twenty times as fast."""
    shares = np.asarray(weights, np.float64) / sum(weights)
    means = MetricRecord()
    for name in records[0]:
        if name != weight_key:
            mean = shares @ np.array([record[name] for record in records], np.float64)
            means[name] = mean.tolist()
    return means


@lru_cache(maxsize=64)
def _mean_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What Flower's average makes of a dtype: floats stay, integers become float64."""
    return np.asarray(np.zeros(1, dtype) * 0.5).dtype


@lru_cache(maxsize=64)
def _total_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # Sums of weights in the thousands leave float16's range.
    return np.promote_types(_mean_dtype(dtype), np.float32)


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
