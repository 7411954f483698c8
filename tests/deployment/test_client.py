"""A site's rules, and what it logs, with a server in the same process."""

import json

import pytest

from fedray.config import ConfigError
from fedray.deployment.audit import AuditLog, read_log, verified
from fedray.deployment.client import SiteApp
from fedray.deployment.policy import Policy, PolicyError
from fedray.federation import AgreedGrid, FederationError, ask_sites, federate, initial_state, make_strategy
from fedray.federation.messages import from_record
from tests.support.recording import RecordingGrid
from tests.support.sites import site_grid


def rounds_of(grid, config):
    census = ask_sites(grid, config)
    strategy = make_strategy(config, census.shape)
    return federate(strategy, AgreedGrid(grid, census, "r"), initial_state(config, census.shape), config, census)


@pytest.fixture
def sites(small_store):
    """Return ``sites(policy)``: a grid of two, whose client has these rules and a log."""

    def make(policy, log=None):
        grid = site_grid([small_store.path, small_store.path])
        grid.client_app = SiteApp(policy, log)
        return grid

    return make


@pytest.fixture
def config(small_config):
    return small_config(data__store="sites", federation__num_clients=2, federation__num_rounds=2)


def test_every_message_is_logged_as_it_came_and_went(sites, config, tmp_path):
    log = AuditLog(tmp_path / "log")
    grid = RecordingGrid(sites(Policy(), log))
    list(rounds_of(grid, config))
    said = list(read_log(tmp_path / "log"))
    assert verified(tmp_path / "log").lines == len(said) == 2 * 2 * 3, "two sites; asked once, trained twice"
    kinds = [(line["direction"], line["kind"], line["decision"]) for line in said[:2]]
    assert kinds == [("in", "query.describe", "received"), ("out", "query.describe", "sent")]
    trained = [line for line in said if line["kind"] == "train" and line["direction"] == "out"]
    assert [line["records"]["arrays"]["entries"] for line in trained] == [len(initial(config))] * 4
    assert {line["run"] for line in said if line["direction"] == "in" and line["kind"] == "train"} == {"r"}


def initial(config):
    from fedray.data import TileShape

    return from_record(initial_state(config, TileShape(16, 3, 2, 1)).arrays)


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"rounds": 1}, "rounds must be at most 1, but the run asks for 2"),
        ({"largest_update": 1e-6}, r"largest_update must be at most 1e-06, but the networks changed by [\d.]+"),
        ({"forbidden": ("arrays",)}, "forbidden names the record 'arrays'"),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_by_its_name_and_logged(sites, config, tmp_path, policy, problem):
    log = AuditLog(tmp_path / "log")
    with pytest.raises(FederationError, match=f"PolicyError: {problem}"):
        list(rounds_of(sites(Policy(**policy), log), config))
    last = list(read_log(tmp_path / "log"))[-1]
    assert (last["direction"], last["decision"]) == ("out", "refused") and "PolicyError" in last["error"]
    assert "records" not in last


def test_what_keeps_the_rules_goes_as_without_any(sites, config):
    wide = Policy(rounds=2, largest_update=1e6, forbidden=("tiles",), tiles_per_label=1, patients_per_label=1)
    with_rules, without = (list(rounds_of(sites(policy), config)) for policy in (wide, Policy()))
    assert [report.losses for report in with_rules] == [report.losses for report in without]


def test_a_message_that_cannot_be_logged_is_not_answered(sites, config, tmp_path):
    log = AuditLog(tmp_path / "log")
    (tmp_path / "log").rename(tmp_path / "away")
    with pytest.raises(FederationError, match="FileNotFoundError"):
        list(rounds_of(sites(Policy(), log), config))


def test_a_store_with_too_few_patients_of_a_label_is_not_brought(small_store, tmp_path):
    Policy(tiles_per_label=10, patients_per_label=10).check_store(small_store)
    for rule in ("tiles_per_label", "patients_per_label"):
        with pytest.raises(PolicyError, match=f"{rule} must be at least 11, but the label 'dark' has 10"):
            Policy(**{rule: 11}).check_store(small_store)


def test_a_policy_is_read_and_a_rule_that_is_none_is_refused(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps({"rounds": 5, "forbidden": ["tiles"]}))
    assert Policy.read(path) == Policy(rounds=5, forbidden=("tiles",))
    path.write_text("round: 5\nlargest_update: -1")
    with pytest.raises(ConfigError, match=r"(?s)largest_update.*round"):
        Policy.read(path)
