"""The account of differential privacy, against dp-accounting called directly and the formula of the mechanism."""

import math
from collections import Counter

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from fedray.federation import Account, FederationError, client_app, epsilon_of
from fedray.testing import LocalGrid
from tests.support.federation import PRIVATE, failing_app, first_state, run

DELTA = 1e-5


def library_epsilon(kind, releases, delta=DELTA):
    account = kind()
    for noise_multiplier, number in releases.items():
        account.compose(GaussianDpEvent(noise_multiplier), number)
    return account.get_epsilon(delta)


def gaussian_epsilon(noise_multiplier, releases, delta):
    """RDP of the Gaussian mechanism, alpha / (2 z^2) a release (Mironov 2017), converted as in Canonne et al. 2020."""
    best = math.inf
    for alpha in np.concatenate([np.arange(1.01, 11, 0.01), np.arange(11, 512, 1.0)]):
        rdp = releases * alpha / (2 * noise_multiplier**2)
        best = min(best, rdp + math.log1p(-1 / alpha) - (math.log(delta) + math.log(alpha)) / (alpha - 1))
    return best


@pytest.mark.parametrize("releases", [{1.0: 4}, {1.0: 8}, {2.0: 30}, {0.7: 3, 1.5: 10, 4.0: 2}])
def test_epsilon_is_dp_accountings_and_no_less_than_the_tightest(releases):
    found = epsilon_of([Counter(releases)], DELTA)
    assert found == pytest.approx(library_epsilon(RdpAccountant, releases), rel=1e-9)
    assert library_epsilon(PLDAccountant, releases) <= found <= 1.15 * library_epsilon(PLDAccountant, releases)
    parts = [Counter({noise: number}) for noise, number in releases.items()]
    assert epsilon_of(parts, DELTA) == found  # trials of a sweep, together


def test_nothing_released_costs_nothing_and_no_noise_costs_everything():
    assert epsilon_of([], DELTA) == epsilon_of([Counter()], DELTA) == 0.0
    assert epsilon_of([Counter({1.0: 3}), Counter({0.0: 1})], DELTA) == math.inf


def private(small_config, **fields):
    return small_config(
        **{**PRIVATE, "federation__num_rounds": 4}, privacy__noise_multiplier=1.0, federation__local_steps=1, **fields
    )


def test_every_round_is_reported_with_all_before_it(small_config):
    _, reports, _ = run(private(small_config, privacy__delta=1e-3))
    for rounds, report in enumerate(reports, 1):
        assert report.epsilon == pytest.approx(gaussian_epsilon(1.0, rounds, 1e-3), rel=0.02)
        assert (report.losses, report.counts) == ({}, {})


def test_rounds_that_are_run_again_after_a_restart_are_counted_again(small_config):
    """Four rounds, killed after the last one's mean was seen and before any checkpoint; all four again."""
    config, kept = private(small_config), {}
    first = Account(keep=lambda own: kept.update(first=Counter(own)))
    _, reports, _ = run(config, account=first)
    assert reports[-1].epsilon == pytest.approx(10.7, abs=0.05)
    second = Account(kept["first"], keep=lambda own: kept.update(second=Counter(own)))
    _, reports, _ = run(config, account=second)
    assert reports[-1].epsilon == second.epsilon(DELTA) == pytest.approx(16.5, abs=0.05)
    assert kept == {"first": {1.0: 4}, "second": {1.0: 4}}


def test_a_release_is_counted_and_kept_before_its_messages_leave(small_config):
    config, events = private(small_config), []

    class Watched(LocalGrid):
        def push_messages(self, messages):
            events.append("sent")
            return super().push_messages(messages)

    account = Account(keep=lambda own: events.append(own.total()))
    run(config, grid=Watched(client_app, 2), account=account)
    assert events == [1, "sent", 2, "sent", 3, "sent", 4, "sent"]


def test_a_round_that_fails_has_been_counted(small_config):
    account = Account()
    with pytest.raises(FederationError):
        run(private(small_config), grid=LocalGrid(failing_app(1), 2), account=account)
    assert account.releases == {1.0: 1}


def test_an_account_that_cannot_be_kept_lets_nothing_leave(small_config):
    def full(own):
        raise OSError("no space left")

    config, grid = private(small_config), LocalGrid(client_app, 2)
    grid.push_messages = None
    with pytest.raises(OSError, match="no space left"):
        run(config, grid=grid, account=Account(keep=full))


def test_a_checkpoint_whose_account_was_lost_counts_its_rounds(small_config):
    config, account = private(small_config), Account()
    state = first_state(config)
    state.round_index = 3
    _, (report,), _ = run(config, state=state, account=account)
    assert account.releases == {1.0: 4}
    assert report.epsilon == pytest.approx(library_epsilon(RdpAccountant, {1.0: 4}))


def test_without_privacy_nothing_is_accounted(small_config):
    account = Account()
    _, (report,), _ = run(small_config(federation__num_rounds=1), account=account)
    assert (report.epsilon, account.releases) == (None, {})
