import math

import numpy as np
import pytest

from fedray.simulation.wire.finite import is_finite

pytestmark = pytest.mark.filterwarnings("error")  # a broken client is not to fill a worker's log


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_broken_number_among_many_is_found(dtype, order, bad):
    array = np.random.default_rng(1).normal(size=(40, 50)).astype(dtype, order=order)
    assert is_finite(array) and is_finite(array[::3, ::2])
    array[30, 6] = bad
    assert not is_finite(array) and not is_finite(array[::3, ::2])


def test_large_numbers_and_other_dtypes_are_no_broken_ones():
    for dtype in ("float16", "float32", "float64"):
        assert is_finite(np.full(100, np.finfo(dtype).max))
    for array in (np.array([2**62]), np.array([True]), np.array(["nan"]), np.array(3.0), np.empty((0, 4))):
        assert is_finite(array)
    assert not is_finite(np.array(math.nan))
