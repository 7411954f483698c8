"""Rank agreement: scipy's tau, and an interval that holds what other generators of the same kind would show."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from fedray.evaluation import agreement as module
from fedray.evaluation.agreement import agreement


@pytest.mark.parametrize("ties", [False, True])
def test_the_value_is_scipys_and_the_order_of_generators_says_nothing(ties: bool) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 9))
    if ties:
        a, b = a.round(), b.round(1)
    found = agreement(a, b)
    assert found.tau == kendalltau(a, b).statistic and found.low < found.tau < found.high
    order = rng.permutation(9)
    assert agreement(a[order], b[order]).tau == pytest.approx(found.tau)
    assert agreement(a, -b).tau == pytest.approx(-found.tau)


def test_a_resample_has_the_tau_of_its_generators_and_of_one_that_agrees_with_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand: pairs of resampled generators, counted one by one."""
    a, b = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    drawn = np.array([2, 0, 1, 1, 1])  # the last is the one more
    picked = np.repeat(np.arange(5), drawn)
    agrees = differs = 0
    for first in range(5):
        for second in range(first + 1, 5):
            i, j = picked[first], picked[second]
            if i != j:
                differs += 1
                agrees += 0 if 4 in (i, j) else np.sign((a[i] - a[j]) * (b[i] - b[j]))

    class Drawn:
        def multinomial(self, *_: object) -> np.ndarray:
            return drawn[np.newaxis]

    monkeypatch.setattr(module, "stream", lambda *_: Drawn())
    assert agreement(a, b).low == pytest.approx(agrees / differs)


@pytest.mark.parametrize(("num", "tau"), [(5, 0.9), (8, 0.7), (12, 0.0)])
def test_the_interval_holds_the_truth(num: int, tau: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaussian scores: tau is 2 / pi times the arc sine of their correlation. A plain bootstrap holds 0.9 in 43 %."""
    monkeypatch.setattr(module, "RESAMPLED", 300)
    rng, rho, held = np.random.default_rng(0), np.sin(np.pi / 2 * tau), 0
    for seed in range(100):
        a, noise = rng.normal(size=(2, num))
        found = agreement(a, rho * a + np.sqrt(1 - rho**2) * noise, seed)
        held += found.low <= tau <= found.high
    assert held >= 90


def test_five_in_one_order_are_not_certain_and_equal_ones_have_no_order() -> None:
    sure = agreement(range(5), range(5))
    assert sure.tau == pytest.approx(1) and sure.high == 1 and sure.low < 0.9
    assert np.isnan(agreement([1, 1, 1, 1], range(4))).all()
