"""jobs/sweep_wgan.py: its search space, its folder, and its plan."""

from pathlib import Path

import pytest
import yaml

from fedray.results import Place
from fedray.results.folder import EXPERIMENT, SWEEP, finish, open_folder
from fedray.sweep import SearchSpace, load_space
from fedray.sweep.check import settle
from fedray.sweep.state import keep_state
from tests.support.jobs import SEARCH

SHIPPED = Path(__file__).parents[2] / "search_spaces" / "wgan_gp.yaml"
START = {"gan.n_critic": 2, "gan.generator_lr": 1e-3}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_trails": 3}, "num_trails: there is no such key; did you mean 'num_trials'?"),
        ({"num_trials": 0}, "num_trials: input should be greater than or equal to 1, but got 0"),
        ({"search": SEARCH | {"gan.n_crit": SEARCH["gan.n_critic"]}, "start_points": []},
         "search.gan.n_crit is no config path; did you mean 'gan.n_critic'?"),
        ({"search": {"gan.n_critic": {"type": "int", "low": 0, "high": 5}}, "start_points": []},
         "search.gan.n_critic: input should be greater than or equal to 1, but got 0"),
        ({"search": {"gan.n_critic": {"type": "int", "low": 1}}, "start_points": []},
         "search.gan.n_critic.int.high: must be given"),
        ({"start_points": [START | {"gan.n_critic": 9}]},
         "start_points[0]: gan.n_critic must be within its search range, but got 9 (the range is 1 to 5)"),
        ({"start_points": [{"gan.n_critic": 2}]}, "start_points[0] lacks a value for gan.generator_lr"),
    ],
)  # fmt: skip
def test_a_wrong_value_in_the_file(sweep_wgan, refused, write_space, changes, expected):
    path = write_space(**changes)
    message = refused(sweep_wgan, "--space", path)
    assert message.startswith(f"error: 1 problem in {path}:\n  - {expected}")


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"gan.latent_dm": 3}, "fixed.gan.latent_dm: there is no such key; did you mean 'fixed.gan.latent_dim'?"),
        ({"gan.latent_dim": 0}, "fixed.gan.latent_dim: input should be greater than or equal to 1, but got 0"),
    ],
)
def test_a_wrong_fixed_value_in_the_file(sweep_wgan, refused, write_space, fixed, expected):
    assert f"  - {expected}" in refused(sweep_wgan, "--space", write_space(fixed))


def test_a_file_that_is_not_there(sweep_wgan, refused, folder):
    message = refused(sweep_wgan, "--space", "none.yaml")
    assert f"cannot read the configuration file none.yaml (looked for from {folder}): No such file" in message


def test_a_goal_that_no_evaluation_yields(sweep_wgan, refused, write_space):
    message = refused(sweep_wgan, "--space", write_space(goal={"metric": "fid/inception/16"}))
    assert "goal.metric must be one of fid/efficientnet-lite0/16, kid/efficientnet-lite0/16" in message
    assert "but got 'fid/inception/16'" in message


@pytest.mark.parametrize(
    ("path", "dimension", "expected"),
    [
        ("federation.num_clients", {"type": "int", "low": 2, "high": 50},
         "small searches federation.num_clients, but at 50 a trial cannot run: num_clients must be from 1 to"),
        ("partition.scheme", {"type": "choice", "values": ["iid", "domain"]},
         "small searches partition.scheme, but at domain a trial cannot run: partition 'domain' needs"),
    ],
)  # fmt: skip
def test_a_searched_value_that_no_trial_can_run(sweep_wgan, refused, write_space, path, dimension, expected):
    space = write_space(search={path: dimension}, start_points=[])
    assert expected in refused(sweep_wgan, "--space", space)


def test_a_configuration_in_place_of_a_search_space(sweep_wgan, refused, write_config):
    message = refused(sweep_wgan, "--space", write_config())
    assert "search: must be given" in message
    assert "gan: there is no such key; did you mean 'fixed.gan'?" in message


def test_a_goal_that_the_command_line_takes_away(sweep_wgan, refused, write_space):
    message = refused(sweep_wgan, "--space", write_space(), "--evaluation.num-samples", 18)
    assert (
        "goal.metric must be one of fid/efficientnet-lite0/18" in message and "'fid/efficientnet-lite0/16'" in message
    )


def test_a_searched_value_on_the_command_line(sweep_wgan, refused, write_space):
    message = refused(sweep_wgan, "--space", write_space(), "--gan.n-critic", 3)
    assert "gan.n_critic is searched by small, so it cannot be fixed to 3" in message


@pytest.mark.parametrize("option", ["--num-trials", "--max-concurrent"])
def test_no_trials(sweep_wgan, refused, write_space, option):
    message = refused(sweep_wgan, "--space", write_space(), option, 0)
    assert f"{option[2:].replace('-', '_')}: input should be greater than or equal to 1, but got 0" in message
    assert "small with the command line's values" in message


def test_a_folder_of_another_sweep(sweep_wgan, refused, write_space, folder):
    space = write_space()
    open_folder(Place.at(folder / "sweep"), SWEEP, settle(load_space(space)), {})
    message = refused(sweep_wgan, "--space", space, "--out", "sweep", "--num-trials", 7, "--seed", 1)
    assert "sweep holds another sweep (fixed.seed is 0 there, not 1, num_trials is 2 there, not 7)" in message
    assert "--resume sweep, or choose another --out" in message


def test_a_folder_of_an_experiment(sweep_wgan, refused, write_space, folder):
    space = write_space()
    open_folder(Place.at(folder / "run"), EXPERIMENT, load_space(space).fixed, {})
    message = refused(sweep_wgan, "--space", space, "--out", "run")
    assert "run holds another job's experiment" in message and "choose another --out" in message
    assert "no sweep to continue in run: it holds an experiment" in refused(sweep_wgan, "--resume", "run")


def test_a_dry_run_of_the_shipped_space_prints_it_and_the_plan(sweep_wgan, folder, no_new_ray):
    done = sweep_wgan("--num-trials", 3, "--out", "sweep", "--dry-run")
    assert (done.status, done.errors) == (0, "")
    shown = SearchSpace.model_validate(yaml.safe_load(done.output))
    assert shown == settle(load_space(SHIPPED)).model_copy(update={"num_trials": 3})
    plan, *budget = [line for line in done.output.splitlines() if line.startswith("# ")]
    assert "trials at a time, each with" in plan and all(
        line[2:].startswith(("budget: ", "warning: ")) for line in budget
    )
    assert "# budget: 6 to 32 generator step(s) a round, 204 to 1,024 in all" in budget
    assert list(folder.iterdir()) == []
    no_new_ray()


def test_a_dry_run_of_a_started_sweep_shows_that_one(sweep_wgan, write_space, folder, no_new_ray):
    space = settle(load_space(write_space()))
    open_folder(Place.at(folder / "sweep"), SWEEP, space, {})
    done = sweep_wgan("--resume", "sweep", "--dry-run")
    assert SearchSpace.model_validate(yaml.safe_load(done.output)) == space
    no_new_ray()


def test_more_trials_go_with_resume(sweep_wgan, refused, write_space, folder, no_new_ray):
    space = settle(load_space(write_space()))
    open_folder(Place.at(folder / "sweep"), SWEEP, space, {})
    finish(Place.at(folder / "sweep"), {})
    before = {path: path.read_bytes() for path in (folder / "sweep").iterdir()}
    done = sweep_wgan("--resume", "sweep", "--num-trials", "+3", "--dry-run")
    shown = SearchSpace.model_validate(yaml.safe_load(done.output))
    assert shown == space.model_copy(update={"num_trials": 5})
    assert {path: path.read_bytes() for path in (folder / "sweep").iterdir()} == before
    for wrong in ("3", "+0", "5"):
        message = refused(sweep_wgan, "--resume", "sweep", "--num-trials", wrong)
        assert f"must say how many more, +1 or more, but got '{wrong}'; the sweep there has 2" in message
    assert "name that one by --resume DIR" in refused(sweep_wgan, "--num-trials", "+3")
    for wrong in ("+x", "many"):
        more = ["--resume", "sweep"] if wrong[0] == "+" else []
        assert f"must be a whole number, but got '{wrong}'" in refused(sweep_wgan, *more, "--num-trials", wrong)
    no_new_ray()


def test_a_state_that_somebody_else_signed_is_refused_before_anything_starts(
    sweep_wgan, refused, write_space, folder, no_new_ray, monkeypatch
):
    place = Place.at(folder / "sweep")
    open_folder(place, SWEEP, settle(load_space(write_space())), {})
    (folder / "tuner.pkl").write_bytes(b"a pickle")
    keep_state(folder, Path(place.state))
    assert sweep_wgan("--resume", "sweep", "--dry-run").status == 0
    monkeypatch.setenv("FEDRAY_SIGNING_KEY", "somebody else's key, of 32 bytes")
    assert "signed with another key than yours" in refused(sweep_wgan, "--resume", "sweep", "--dry-run")
    for alone in (["--trust"], ["--trust", "--resume", "sweep", "--dry-run"]):
        assert "--trust signs the state of the sweep that --resume DIR names" in refused(sweep_wgan, *alone)
    no_new_ray()


def test_help_explains_the_fields(sweep_wgan):
    done = sweep_wgan("--help")
    assert (done.status, done.errors) == (0, "")
    for part in ("--space NAME", "--num-trials", "--dry-run", "Trials at a time at the most", "Weight of the penalty",
                 "Search WGAN-GP hyperparameters"):  # fmt: skip
        assert part in done.output
