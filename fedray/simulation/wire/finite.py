"""Arrays that are not finite: found in one pass over memory, before they are in a mean."""

import cmath
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, RecordDict
from numpy.typing import NDArray

from .arrays import items_of, ndarray_of


def is_finite(array: NDArray[Any]) -> bool:
    """Say whether an array of any shape and dtype holds no NaN and no infinity."""
    if array.dtype.kind not in "fc":
        return True
    flat = array.reshape(-1)
    # One pass without a copy, and without a warning; it is not finite too where finite numbers are very large.
    return cmath.isfinite(np.vdot(flat, flat)) or bool(np.isfinite(array).all())


def first_not_finite(content: RecordDict) -> str | None:
    """Return the name of an array that holds NaN or infinity, None if none does (or none can be looked into)."""
    for record in items_of(content).values():
        if isinstance(record, ArrayRecord):
            for name, array in items_of(record).items():
                ndarray = ndarray_of(array)
                if ndarray is not None and not is_finite(ndarray):
                    return name
    return None
