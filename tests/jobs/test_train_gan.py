"""jobs/train_gan.py: its configuration file, its folder, and a run from the command line to scores."""

import re
import shlex
from functools import partial

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from fedray.config import ExperimentConfig, load_config
from fedray.experiment import settled
from fedray.experiment.run import with_rounds
from fedray.results import Place
from fedray.results.folder import EXPERIMENT, SWEEP, open_folder
from fedray.sweep import load_space
from fedray.tracking.address import sqlite_uri
from tests.support.jobs import flat_yaml


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gan.n_critc": 3}, "gan.n_critc: there is no such key; did you mean 'gan.n_critic'?"),
        ({"gann.beta1": 0.5}, "gann: there is no such key; did you mean 'gan'?"),
        ({"sed": 1}, "sed: there is no such key; did you mean 'seed'?"),
        ({"gan.n_critic": 0}, "gan.n_critic: input should be greater than or equal to 1, but got 0"),
        ({"gan.generator_lr": "fast"}, "gan.generator_lr: input should be a valid number"),
        ({"partition.scheme": "random"}, "partition.scheme: input should be 'iid', 'majority-label', 'dirichlet'"),
    ],
)
def test_a_wrong_value_in_the_file(train_gan, refused, write_config, changes, expected):
    path = write_config(changes)
    message = refused(train_gan, "--config", path)
    assert message.startswith(f"error: 1 problem in {path}:\n  - {expected}")


def test_a_file_that_is_not_there(train_gan, refused, folder):
    message = refused(train_gan, "--config", "none.yaml")
    assert f"cannot read the configuration file none.yaml (looked for from {folder}): No such file" in message


def test_a_search_space_in_place_of_a_configuration(train_gan, refused, write_space):
    message = refused(train_gan, "--config", write_space())
    assert "search" in message and "jobs/sweep_" in message


def test_a_folder_of_another_experiment(train_gan, refused, write_config, folder):
    config = write_config()
    open_folder(Place.at(folder / "run"), EXPERIMENT, settled(load_config(config)), {})
    message = refused(train_gan, "--config", config, "--out", "run", "--seed", 5)
    assert "run holds another experiment (seed is 0 there, not 5)" in message
    assert "--resume run, or choose another --out" in message


def test_a_folder_of_a_sweep(train_gan, refused, write_config, write_space, folder):
    open_folder(Place.at(folder / "sweep"), SWEEP, load_space(write_space()), {})
    message = refused(train_gan, "--config", write_config(), "--out", "sweep")
    assert "sweep holds another job's sweep" in message and "choose another --out" in message
    message = refused(train_gan, "--resume", "sweep")
    assert "no experiment to continue in sweep: it holds a sweep" in message


def test_a_dry_run_prints_the_experiment_and_the_plan(train_gan, write_config, folder, no_new_ray):
    done = train_gan("--config", write_config(), "--gan.latent-dim", 4, "--out", "run", "--dry-run")
    assert (done.status, done.errors) == (0, "")
    shown = ExperimentConfig.model_validate(yaml.safe_load(done.output))
    assert (shown.gan.latent_dim, shown.gan.n_critic, shown.federation.num_clients) == (4, 2, 2)
    plan, *budget = [line for line in done.output.splitlines() if line.startswith("# ")]
    assert re.fullmatch(r"# \d+ worker\(s\) of 1 CPU", plan), plan
    assert all(line[2:].startswith(("budget: ", "warning: ")) for line in budget)
    assert "# budget: 2 client(s) with 10 training tiles each, 0 unused" in budget
    assert list(folder.iterdir()) == []
    no_new_ray()


@pytest.mark.parametrize("option", ["--federation.num-rounds", "--federation.num_rounds"])
def test_more_rounds_go_with_resume_and_no_fewer(train_gan, refused, write_config, folder, option, no_new_ray):
    config = settled(load_config(write_config({"federation.num_rounds": 4})))
    open_folder(Place.at(folder / "run"), EXPERIMENT, config, {})
    for few in (3, 4):
        message = refused(train_gan, "--resume", "run", option, few)
        assert f"must be more than the 4 rounds of the experiment in run, but got {few}" in message
    before = sorted(folder.rglob("*"))
    for more in (10, 12):  # the first is the default of all experiments
        done = train_gan("--resume", "run", f"{option}={more}", "--dry-run")
        assert (done.status, done.errors) == (0, "")
        assert ExperimentConfig.model_validate(yaml.safe_load(done.output)) == with_rounds(config, more)
    assert sorted(folder.rglob("*")) == before
    assert ExperimentConfig().federation.num_rounds == 10
    no_new_ray()


def test_what_its_patience_ended_has_no_more_rounds(run, refused, small_store, folder):
    data = {"store": str(small_store.path)}
    small = {"task": "classification", "classification": {"patience": 2}, "data": data}
    config = settled(ExperimentConfig.model_validate(small))
    open_folder(Place.at(folder / "run"), EXPERIMENT, config, {})
    message = refused(partial(run, "train_classifier"), "--resume", "run", "--federation.num-rounds", 99)
    assert "classification.patience says when it is done" in message and "--starts-from run" in message


def test_help_explains_the_fields(train_gan):
    done = train_gan("--help")
    assert (done.status, done.errors) == (0, "")
    for part in ("--config FILE", "--dry-run", "--resume DIR", "Learning rate of the generator, > 0",
                 "How the generator is judged", "Run one federated"):  # fmt: skip
        assert part in done.output


@pytest.mark.usefixtures("ray_session")
def test_from_the_command_line_to_scores(train_gan, refused, write_config, folder, new_database, monkeypatch):
    """In folders whose names are markup, paths and addresses elsewhere."""
    run, results = "[red] data%20export?x=1#2", folder / "results %2F?y=2"
    results.mkdir()
    new_database(results)
    monkeypatch.setenv("FEDRAY_RESULTS", str(results))
    config = write_config({"federation.num_rounds": 1, "resources.num_workers": 1})
    done = train_gan("--config", config, "--out", run)
    assert done.status == 0, done.errors
    [line] = [line for line in done.output.splitlines() if line.startswith("round ")]
    assert line.startswith("round 1/1  fid ") and line.endswith(" 0:00 left") and len(line) <= 120
    assert f"Results:             {run}/: " in done.output
    uri = sqlite_uri(results / "mlflow.db")
    assert f"python -m mlflow ui --backend-store-uri {shlex.quote(uri)}\n" in done.output
    assert pd.read_parquet(folder / run / "results.parquet")["round"].tolist() == [1]
    for made in (folder / run, folder / run / "checkpoint", results / "mlartifacts"):
        assert made.stat().st_mode & 0o777 == 0o700, f"{made} holds weights or pictures"
    assert flat_yaml((folder / run / "config.yaml").read_text())["federation.num_rounds"] == 1

    again = train_gan("--resume", run)
    assert (again.status, again.output.splitlines()[0]) == (
        0, f"note: {run} holds a finished experiment: nothing is left to run"
    )  # fmt: skip
    assert "round 1/1" not in again.output
    table = done.output[done.output.index("Scores of") :]
    assert again.output.endswith(table), "the same table as when it ended"
    client = MlflowClient(uri)
    (experiment,) = [found for found in client.search_experiments() if found.name == "fedray"]
    (logged,) = client.search_runs([experiment.experiment_id])
    assert len(logged.outputs.model_outputs) == 1

    message = refused(train_gan, "--config", config, "--out", run, "--gan.n-critic", 1)
    assert "gan.n_critic is 2 there, not 1" in message
