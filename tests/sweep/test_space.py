from pathlib import Path

import optuna
import pytest
import yaml

from fedray.config import ConfigError, config_paths, override, save_config
from fedray.sweep import load_space
from fedray.sweep.space import NOT_SEARCHED as NOT_SEARCHED_PATHS

SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))

GOOD = {
    "name": "small",
    "fixed": {"federation": {"num_rounds": 3}},
    "search": {
        "gan.n_critic": {"type": "int", "low": 1, "high": 5},
        "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "federation.aggregate": {"type": "choice", "values": ["both", "generator"]},
    },
    "goal": {"metric": "fid/efficientnet-lite0/64"},
    "num_trials": 4,
    "start_points": [{"gan.n_critic": 5, "gan.generator_lr": 1e-3, "federation.aggregate": "both"}],
}


def write(tmp_path, **changes):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(GOOD | changes, sort_keys=False))
    return path


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_shipped_space_is_valid_and_starts_where_its_paper_does(path):
    space = load_space(path)
    assert space.start_points
    assert space.num_trials > max(4, len(space.start_points))  # the first ones are drawn at random: some are searched


def test_a_trial_is_the_fixed_config_with_its_values(tmp_path):
    space = load_space(write(tmp_path))
    config = space.trial_config({"gan.n_critic": 2, "gan.generator_lr": 5e-3, "federation.aggregate": "generator"})
    assert (config.gan.n_critic, config.gan.generator_lr) == (2, 5e-3)
    assert config.federation.num_rounds == 3


def test_dimensions_are_optunas(tmp_path):
    space = load_space(write(tmp_path))
    kinds = [type(dimension.distribution()) for dimension in space.search.values()]
    kinds_expected = [optuna.distributions.IntDistribution, optuna.distributions.FloatDistribution]
    assert kinds == [*kinds_expected, optuna.distributions.CategoricalDistribution]


def critic(low, high):
    return {"search": {"gan.n_critic": {"type": "int", "low": low, "high": high}}}


def rate(**range_):
    return {"search": {"gan.generator_lr": {"type": "float", **range_}}}


START = GOOD["start_points"][0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"search": {"gan.n_crit": {"type": "int", "low": 1, "high": 5}}},
            "search.gan.n_crit is no config path; did you mean 'gan.n_critic'?",
        ),
        (critic(0, 5), "gan.n_critic: input should be greater than or equal to 1, but got 0"),
        (critic(5, 1), "low must be <= high, but got 5 > 1"),
        (rate(low=-1, high=1, log=True), "low must be > 0 on a log"),
        (
            {"start_points": [START | {"gan.n_critic": 9}]},
            "start_points[0]: gan.n_critic must be within its search range, but got 9",
        ),
        ({"start_points": [{"gan.n_critic": 2}]}, "start_points[0] lacks a value for gan.generator_lr"),
        (
            {"early_stopping": {"grace_rounds": 4}},
            "early_stopping.grace_rounds must be <= federation.num_rounds (3)",
        ),
        (
            {"fixed": {"gan": {"n_critc": 3}}},
            "fixed.gan.n_critc: there is no such key; did you mean 'fixed.gan.n_critic'?",
        ),
        (
            {"early_stopping": "never"},
            "early_stopping: must be none, or have grace_rounds and reduction_factor, but got 'never'",
        ),
        (rate(low=0.0, high=1.0, step=0.3), "search.gan.generator_lr: high must be low and a whole number of steps"),
        ({"start_points": [START | {"gan.n_critic": None}]}, "must be within its search range, but got null"),
        ({"num_trials": 0}, "num_trials: input should be greater than or equal to 1, but got 0"),
    ],
)
def test_problems_name_path_rule_and_value(tmp_path, changes, expected):
    with pytest.raises(ConfigError) as caught:
        load_space(write(tmp_path, **changes))
    assert expected in str(caught.value)
    assert "space.yaml" in str(caught.value)


NOT_SEARCHED = [
    ("seed", "the luckiest seed would win; run the best trial again with other seeds"),
    ("federation.num_rounds", "early stopping compares trials at equal rounds"),
    ("federation.checkpoint_every", "it changes no score"),
    ("federation.merge_replies", "it changes no score"),
    ("data.store", "scores on different tiles do not compare; run one sweep for each data set"),
    ("data.tile_size", "scores on different tiles do not compare"),
    ("evaluation.extractor", "scores that are measured differently do not compare"),
    ("evaluation.num_samples", "scores that are measured differently do not compare"),
    ("evaluation.every", "scores that are measured differently do not compare"),
    ("resources.num_workers", "it changes no score, and all trials get the same share of the cluster"),
    ("tracking.run_name", "it changes no score"),
]


@pytest.mark.parametrize(("name", "reason"), NOT_SEARCHED, ids=[name for name, _ in NOT_SEARCHED])
def test_what_changes_the_comparison_or_nothing_is_not_searched(tmp_path, name, reason):
    with pytest.raises(ConfigError) as caught:
        load_space(write(tmp_path, search={name: {"type": "choice", "values": [16]}}, start_points=[]))
    assert f"search.{name} cannot be searched: {reason}" in str(caught.value)


def test_all_other_paths_can_be_searched(tmp_path):
    """What one may search is what a trial runs with: a new field is allowed unless it is named."""
    refused = [path for path in config_paths() if any(path.startswith(start) for start in NOT_SEARCHED_PATHS)]
    assert len(refused) < len(config_paths()) / 2
    assert not any(path.startswith(("gan.", "partition.", "privacy.")) for path in refused)


def test_all_problems_are_listed_at_once(tmp_path):
    search = {"gan.n_crit": {"type": "int", "low": 1, "high": 2}, "sed": {"type": "int", "low": 1, "high": 2}}
    with pytest.raises(ConfigError) as caught:
        load_space(write(tmp_path, search=search, start_points=[]))
    assert "gan.n_crit" in str(caught.value)
    assert "sed is no config path; did you mean 'seed'?" in str(caught.value)


def test_a_searched_value_cannot_be_fixed_on_the_command_line(tmp_path):
    space = load_space(write(tmp_path))
    fixed = override(space.fixed, {"gan.n_critic": 2}, "test")
    with pytest.raises(ConfigError, match=r"gan\.n_critic is searched by small"):
        space.with_changes(fixed, {})


def test_sizes_can_be_changed_and_are_checked(tmp_path):
    space = load_space(write(tmp_path))
    assert space.with_changes(space.fixed, {"num_trials": 9}).num_trials == 9
    with pytest.raises(ConfigError, match="num_trials"):
        space.with_changes(space.fixed, {"num_trials": 0})


def test_no_early_stopping_null_and_steps_are_written_and_read_back(tmp_path):
    search = {
        "gan.clip_norm": {"type": "choice", "values": [None, 1.0]},
        "gan.n_critic": {"type": "int", "low": 1, "high": 5, "step": 2},
    }
    point = {"gan.clip_norm": None, "gan.n_critic": 3}
    space = load_space(write(tmp_path, search=search, early_stopping="none", start_points=[point], sampler="gp"))
    assert space.early_stopping is None and space.trial_config(point).gan.clip_norm is None
    assert space.trial_config(point | {"gan.clip_norm": 1.0}).gan.clip_norm == 1.0
    save_config(space, tmp_path / "saved.yaml")
    assert load_space(tmp_path / "saved.yaml") == space
