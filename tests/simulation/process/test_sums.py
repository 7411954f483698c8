"""Sums of many sets equal what NumPy says of them, whichever way they are added."""

import numpy as np
import pytest

from fedray.simulation.process.sums import NUM_ROWS, LargeSums, RowSums, sums_of

RNG = np.random.default_rng(0)
DTYPES = ["float32", "float64", "float16", "int64", "int8", "bool"]


def sets_of(num: int, dtype: str, size: int = 5) -> list[list[np.ndarray]]:
    return [
        [(RNG.normal(size=shape) * 3).astype(dtype) for shape in ((size, 3), (), (0,), (2, 2, 2))] for _ in range(num)
    ]


@pytest.mark.parametrize("num_sets", [1, NUM_ROWS - 1, NUM_ROWS, NUM_ROWS + 1, 3 * NUM_ROWS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_add_up_to_the_weighted_sum(num_sets: int, dtype: str) -> None:
    sets, weights = sets_of(num_sets, dtype), RNG.uniform(0.5, 1000, num_sets)
    sums = sums_of(sets[0])
    assert isinstance(sums, RowSums)
    assert all(sums.add(arrays, weight) for arrays, weight in zip(sets, weights, strict=True))
    for place, total in enumerate(sums.totals()):
        expected = sum(w * arrays[place].astype(np.float64) for arrays, w in zip(sets, weights, strict=True))
        assert total.shape == expected.shape
        np.testing.assert_allclose(total, expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("size", [5, 30_000])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_leaves_the_sums_as_they_are(size: int, odd: float) -> None:
    good, bad = sets_of(2, "float32", size)
    bad[3][1, 1, 1] = odd
    sums = sums_of(good)
    assert [sums.add(good, 2.0), sums.add(bad, 3.0), sums.add(good, 1.0)] == [True, False, True]
    for total, array in zip(sums.totals(), good, strict=True):
        np.testing.assert_allclose(total, 3.0 * array.astype(np.float64), rtol=1e-6)


@pytest.mark.parametrize(("size", "dtype"), [(30_000, "float32"), (5, "complex64")])
def test_large_and_complex_sets_are_added_where_their_sum_is(size: int, dtype: str) -> None:
    sets = sets_of(3, dtype, size)
    sums = sums_of(sets[0])
    assert isinstance(sums, LargeSums)
    assert all(sums.add(arrays, weight) for weight, arrays in enumerate(sets, 1))
    assert sums.nbytes == sum(array.nbytes for array in sets[0])
    for place, total in enumerate(sums.totals()):
        expected = sum(weight * arrays[place].astype("c16") for weight, arrays in enumerate(sets, 1))
        np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)


def test_sets_without_an_array_have_no_sum() -> None:
    sums = sums_of([])
    assert sums.add([], 1.0)
    assert (sums.totals(), sums.nbytes) == ([], 0)
