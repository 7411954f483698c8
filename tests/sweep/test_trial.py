import math
import shutil

import pytest
from mlflow import MlflowClient
from ray import tune

from fedray.config import override
from fedray.data import store_shape
from fedray.experiment import prepare_judge
from fedray.federation import Releases, epsilon_of, shared_arrays
from fedray.results.ledger import Ledger
from fedray.results.start import Start
from fedray.simulation import WorkerResources
from fedray.sweep.dimensions import Choice
from fedray.sweep.trial import FederatedTrial
from fedray.tasks import task_of
from tests.support.federation import assert_close
from tests.support.spaces import METRIC, small_space

VALUES = {"gan.n_critic": 2, "gan.generator_lr": 1e-3, "gan.discriminator_lr": 1e-3}


@pytest.fixture(scope="module")
def trial(ray_session, small_store, new_database, tmp_path_factory):
    uri = new_database(tmp_path_factory.mktemp("trial"))
    space = small_space(small_store, num_rounds=2, early_stopping={"grace_rounds": 1})
    _, prepared = prepare_judge(space.fixed)
    arguments = {
        "space": space,
        "workers": WorkerResources(1),
        "tracking_uri": uri,
        "parent_run_id": "sweep",
        "prepared": prepared,
        "tags": {"fedray.cluster": "tests"},
        "ledger": Ledger(str(tmp_path_factory.mktemp("ledger"))),
    }
    trial = tune.with_parameters(FederatedTrial, **arguments)(dict(VALUES))
    yield trial
    trial.stop()


def test_a_trial_continues_after_its_checkpoint_and_repeats_nothing_when_it_was_done(trial, tmp_path):
    first = trial.train()
    trial.save(str(tmp_path / "one"))
    last = trial.train()
    trial.save(str(tmp_path / "two"))
    assert (first["completed"], last["completed"], last["done"]) == (False, True, True)
    scores = {name for name in last if "/16" in name and not name.startswith("scores/")}
    assert {f"scores/{name}" for name in scores} == {name for name in last if name.startswith("scores/")} != set()
    assert all(last[f"scores/{name}"] == last[name] for name in scores)

    assert trial.reset(dict(VALUES))
    trial.restore(str(tmp_path / "one"))
    again = trial.train()
    assert again["training_iteration"] == 2
    assert again[METRIC] == pytest.approx(last[METRIC], rel=1e-4)
    steps = "spent/generator-steps"
    assert again[steps] == last[steps] == first["round/generator-steps"] + last["round/generator-steps"] > first[steps]
    assert again["spent/seconds"] > first["spent/seconds"] > first["round-seconds"]

    # Killed after the last checkpoint and before its result arrived: only the result is missing.
    assert trial.reset(dict(VALUES))
    trial.restore(str(tmp_path / "two"))
    known = trial.train()
    assert (known["training_iteration"], known["completed"], known["done"]) == (2, True, True)
    assert known[METRIC] == pytest.approx(last[METRIC], rel=1e-4)
    told = [{name for name in result if name.startswith("scores/")} for result in (known, last)]
    assert told[0] == told[1]
    assert all(known[name] == last[name] for name in last if name.startswith("spent/"))


def test_a_trial_whose_named_checkpoint_is_gone_continues_after_the_newest_whole_one(trial, tmp_path):
    """As after a driver was killed between Tune's removal of a checkpoint and the state that names the next one."""
    assert trial.reset(dict(VALUES))
    first = trial.train()
    trial.save(str(tmp_path / "checkpoint_000001"))
    last = trial.train()
    shutil.copytree(tmp_path / "checkpoint_000001", tmp_path / "checkpoint_000002")
    next((tmp_path / "checkpoint_000002").rglob("server.safetensors")).write_bytes(b"half of i")
    (tmp_path / "checkpoint_000003" / "federation" / "round-00002").mkdir(parents=True)

    assert trial.reset(dict(VALUES))
    trial.restore(str(tmp_path / "checkpoint_000000"))
    told_again = trial.train()  # its result was perhaps lost with the driver, and early stopping judges by it
    assert (told_again["training_iteration"], told_again["done"]) == (1, False)
    assert told_again[METRIC] == pytest.approx(first[METRIC], rel=1e-4)
    again = trial.train()
    assert again["training_iteration"] == 2
    assert again[METRIC] == pytest.approx(last[METRIC], rel=1e-4)

    with pytest.raises(ValueError, match="does not exist on storage"):
        trial.restore(str(tmp_path / "empty" / "checkpoint_000000"))


def test_the_next_trial_runs_on_the_same_workers(trial):
    from os import getpid

    before = trial._pool.run(getpid, timeout_s=60)
    assert trial.reset(dict(VALUES) | {"gan.n_critic": 1})
    trial.train()
    assert trial._pool.run(getpid, timeout_s=60) == before


@pytest.fixture
def private(trial, small_store, tmp_path, monkeypatch):
    """Let the trial search the noise of differential privacy. Returns its ledger."""
    space = small_space(small_store, num_rounds=2)
    fixed = override(
        space.fixed,
        {"gan.generator": "residual", "federation.weighting": "uniform", "privacy.noise_multiplier": 1.0},
        "test",
    )
    noise = {"privacy.noise_multiplier": Choice(type="choice", values=(0.0, 1.0))}
    monkeypatch.setattr(trial, "_space", space.model_copy(update={"fixed": fixed, "search": space.search | noise}))
    monkeypatch.setattr(trial, "_ledger", Ledger(str(tmp_path)))
    return trial._ledger


def test_a_private_trial_counts_the_rounds_that_it_repeats(trial, private, tmp_path):
    assert trial.reset(dict(VALUES) | {"privacy.noise_multiplier": 1.0})
    trial.train()
    trial.save(str(tmp_path / "one"))
    trial.train()  # its checkpoint is lost with its node
    assert trial.reset(dict(VALUES) | {"privacy.noise_multiplier": 1.0})
    trial.restore(str(tmp_path / "one"))
    again = trial.train()
    assert private.releases() == {trial.trial_id: {1.0: 3}}
    assert again["privacy/epsilon"] == private.epsilon(1e-5) == epsilon_of([Releases({1.0: 3})], 1e-5)


def test_a_trial_without_noise_takes_the_guarantee_from_the_whole_sweep(trial, private):
    assert trial.reset(dict(VALUES) | {"privacy.noise_multiplier": 0.0})
    trial.train()
    assert private.epsilon(1e-5) == math.inf


def test_all_trials_begin_with_what_the_sweep_has_read(trial, small_store, monkeypatch):
    space = trial._space
    fixed = space.fixed.model_copy(update={"starts_from": "/nowhere/on/this/node"})
    shape = store_shape(small_store)
    arrays = task_of(fixed).make(fixed.model_copy(update={"seed": 9}), shape, "cpu").arrays()
    start = Start("/nowhere", arrays, small_store.label_names, small_store.domain_names)
    monkeypatch.setattr(trial, "_space", space.model_copy(update={"fixed": fixed}))
    monkeypatch.setattr(trial, "_starts_from", start)
    for n_critic in (1, 2):
        assert trial.reset(dict(VALUES) | {"gan.n_critic": n_critic})
        assert_close(shared_arrays(trial._run.state), arrays, tolerance=0)


def test_a_diverged_round_is_reported_and_ends_the_trial(trial):
    assert trial.reset(dict(VALUES) | {"gan.discriminator_lr": 1e15})
    result = trial.train()
    assert result["done"]
    assert not result["completed"]
    assert "smaller learning rates" in result["diverged"]
    assert METRIC not in result


@pytest.mark.parametrize(("rounds", "status"), [(1, "KILLED"), (2, "FINISHED")])
def test_a_trial_that_is_ended_in_the_middle_does_not_say_that_it_finished(trial, monkeypatch, rounds, status):
    """Who stops a sweep ends its trials' processes, before or after the sweep's own process ends their runs."""
    monkeypatch.setattr(trial._pool, "close", lambda: None)
    assert trial.reset(dict(VALUES))
    for _ in range(rounds):
        trial.train()
    run_id = trial._tracked.run_id
    trial.cleanup()
    assert MlflowClient(trial._tracker.uri).get_run(run_id).info.status == status
