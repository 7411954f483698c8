"""Clipping, noise and the account of differential privacy."""

import math

import numpy as np
import pytest

from fedray.config import ConfigError
from fedray.federation import initial_state, shared_arrays
from tests.federation.test_rounds import run

PRIVATE = {"gan__generator": "residual", "federation__weighting": "uniform", "federation__num_rounds": 1}


def distance(first, second):
    return math.sqrt(sum(float(np.square(first[key].astype(np.float64) - second[key]).sum()) for key in first))


def gaussian_epsilon(noise_multiplier, releases, delta):
    """RDP of the Gaussian mechanism, alpha / (2 z^2) a release (Mironov 2017), converted as in Canonne et al. 2020."""
    best = math.inf
    for alpha in np.concatenate([np.arange(1.01, 11, 0.01), np.arange(11, 512, 1.0)]):
        rdp = releases * alpha / (2 * noise_multiplier**2)
        best = min(best, rdp + math.log1p(-1 / alpha) - (math.log(delta) + math.log(alpha)) / (alpha - 1))
    return best


def test_updates_are_clipped_to_the_norm(small_config):
    """With next to no noise the mean of two updates of length c is at most c long."""
    config = small_config(**PRIVATE, privacy__noise_multiplier=1e-9, privacy__clipping_norm=0.005)
    start = shared_arrays(initial_state(config))
    free, _, _ = run(small_config(**PRIVATE))
    clipped, _, _ = run(config)
    assert distance(shared_arrays(free), start) > 0.01
    assert distance(shared_arrays(clipped), start) <= 0.005 * (1 + 1e-3)


def test_noise_has_the_configured_size(small_config):
    """On a mean of n clients: multiplier * norm / n in every weight (McMahan et al. 2018)."""
    config = small_config(**PRIVATE, privacy__noise_multiplier=4.0, privacy__clipping_norm=0.001)
    start = shared_arrays(initial_state(config))
    after = shared_arrays(run(config)[0])
    changes = np.concatenate([(after[key] - start[key]).ravel() for key in start])
    assert changes.std() == pytest.approx(4.0 * 0.001 / config.num_clients, rel=0.02)


def test_the_account_is_the_gaussian_mechanisms_and_goes_on_after_a_restart(small_config):
    config = small_config(
        **{**PRIVATE, "federation__num_rounds": 3}, privacy__noise_multiplier=2.0, privacy__delta=1e-3
    )
    _, reports, _ = run(config)
    spent = [report.epsilon for report in reports]
    for rounds, epsilon in enumerate(spent, 1):
        assert epsilon == pytest.approx(gaussian_epsilon(2.0, rounds, 1e-3), rel=0.02)
    state, _, grid = run(config, rounds=2)
    _, later, _ = run(config, grid=grid, state=state)
    assert [report.epsilon for report in later] == spent[2:]


def test_without_privacy_nothing_is_accounted(small_config):
    _, (report,), _ = run(small_config(federation__num_rounds=1))
    assert report.epsilon is None


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"gan__generator": "custom-cnn"}, "cannot cover BatchNorm statistics.*take 'residual'"),
        ({"federation__weighting": "size"}, "needs federation.weighting 'uniform'.*but got 'size'"),
        ({"federation__strategy": "fedadam"}, "needs federation.strategy 'fedavg' or 'fedprox'.*but got 'fedadam'"),
        ({"federation__max_failed_share": 0.5}, "needs federation.max_failed_share 0.*but got 0.5"),
        ({"federation__mode": "centralised"}, "needs federation.mode 'federated', but got 'centralised'"),
    ],
)
def test_what_the_account_does_not_hold_for_is_refused(fields, rule, small_config):
    with pytest.raises(ConfigError, match=rule):
        small_config(**{**PRIVATE, "privacy__noise_multiplier": 1.0, **fields})
