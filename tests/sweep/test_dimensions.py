"""What is searched, against Optuna's own idea of it."""

import warnings

import pytest

from fedray.sweep.dimensions import Choice, FloatRange, IntRange


def real(**range_):
    return FloatRange(type="float", **range_)


def whole(**range_):
    return IntRange(type="int", **range_)


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (real(low=0.1, high=0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (real(low=-1.0, high=2.0, step=1.5), [-1.0, 0.5, 2.0]),
        (real(low=0.3, high=0.3, step=0.1), [0.3]),
        (real(low=0.1, high=0.5), None),
        (whole(low=1, high=3), [1, 2, 3]),
        (whole(low=2, high=10, step=4), [2, 6, 10]),
        (whole(low=1, high=4, log=True), [1, 2, 3, 4]),
        (Choice(type="choice", values=(None, "a", 1.5)), [None, "a", 1.5]),
    ],
)
def test_all_values_are_listed_and_are_optunas(dimension, expected):
    assert not dimension.problems()
    values = dimension.grid()
    assert (values if values is None else list(values)) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna moves a bound that is on no step, and says so
        optunas = dimension.distribution()
    for value in expected or ():
        assert dimension.contains(value) and optunas._contains(optunas.to_internal_repr(value))


@pytest.mark.parametrize("value", [0.0, 0.15, 0.6, True, "0.2", None])
def test_what_is_off_the_steps_or_no_number_is_not_in_the_range(value):
    assert not real(low=0.1, high=0.5, step=0.1).contains(value)


@pytest.mark.parametrize("value", [0, 3, 11, 2.0, True, None])
def test_what_is_off_the_steps_or_not_whole_is_not_in_the_range(value):
    assert not whole(low=2, high=10, step=4).contains(value)


@pytest.mark.parametrize(
    ("dimension", "problem"),
    [
        (
            real(low=0.0, high=1.0, step=0.3),
            "high must be low and a whole number of steps, but got 0.0, 1.0, 0.3",
        ),
        (whole(low=1, high=4, step=2), "high must be low and a whole number of steps, but got 1, 4, 2"),
        (whole(low=1, high=9, step=4, log=True), "step must be left out on a log scale, but got 4"),
        (real(low=0.1, high=0.9, step=0.4, log=True), "step must be left out on a log scale, but got 0.4"),
        (real(low=0.1, high=0.9, step=0.0), "step must be > 0, but got 0.0"),
        (whole(low=1, high=9, step=-1), "step must be > 0, but got -1"),
        (whole(low=9, high=1), "low must be <= high, but got 9 > 1"),
        (Choice(type="choice", values=(1, 2, True)), "values must differ, but got 1 and true"),
        (Choice(type="choice", values=(None, "a", None)), "values must differ, but got null and null"),
    ],
)
def test_what_is_wrong_is_named(dimension, problem):
    assert any(found.startswith(problem) for found in dimension.problems())
