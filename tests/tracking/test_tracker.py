import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fedray.tracking import Status, Tracker, TrackingError

WRITERS = """
import multiprocessing, sys
import fedray.tracking.mlflow_client  # once for all four, for it takes seconds
from fedray.tracking import Tracker

def write(process):
    for trial in range(2):
        name = f"{process}-{trial}"
        run = Tracker(sys.argv[1], "many").start_run(name, key=name, params={"trial": trial})
        for round_index in range(15):
            run.log_round(round_index, {f"m{i}": process + round_index * i for i in range(5)})
            run.flush()
        run.finish("FINISHED")

fork = multiprocessing.get_context("fork")
processes = [fork.Process(target=write, args=(process,)) for process in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(max(process.exitcode for process in processes))
"""


def test_a_trial_is_a_child_of_its_sweep(tracker: Tracker, uri: str) -> None:
    sweep = tracker.start_run("sweep", tags={"kind": "sweep"})
    trial = tracker.start_run("trial", parent_run_id=sweep.run_id, key="3", params={"gan.n_critic": 2})
    trial.finish("FINISHED")
    sweep.finish("FINISHED")
    data = MlflowClient(uri).get_run(trial.run_id).data
    assert data.tags["mlflow.parentRunId"] == sweep.run_id
    assert data.params == {"gan.n_critic": "2"}
    assert MlflowClient(uri).get_run(sweep.run_id).data.tags["kind"] == "sweep"


def test_a_resumed_trial_continues_its_run(tracker: Tracker, uri: str) -> None:
    sweep = tracker.start_run("sweep", key="sweep")
    first = tracker.start_run("trial", parent_run_id=sweep.run_id, key="3", params={"seed": 1}, tags={"commit": "a"})
    first.log_round(0, {"loss": 1.0})
    first.finish("KILLED")
    other_process = pickle.loads(pickle.dumps(tracker))
    again = other_process.start_run(
        "trial", parent_run_id=sweep.run_id, key="3", params={"seed": 2}, tags={"commit": "b"}
    )
    assert again.run_id == first.run_id
    assert MlflowClient(uri).get_run(again.run_id).info.status == "RUNNING"
    again.log_round(1, {"loss": 0.5})
    again.finish("FINISHED")
    client = MlflowClient(uri)
    run = client.get_run(again.run_id)
    assert (run.info.status, run.data.params, run.data.tags["commit"]) == ("FINISHED", {"seed": "1"}, "b")
    assert [(m.step, m.value) for m in client.get_metric_history(again.run_id, "loss")] == [(0, 1.0), (1, 0.5)]
    assert len(client.search_runs([tracker.experiment_id])) == 2


def test_a_key_belongs_to_its_sweep(tracker: Tracker) -> None:
    sweeps = [tracker.start_run("sweep").run_id for _ in range(2)]
    ids = {tracker.start_run("trial", parent_run_id=parent, key="0").run_id for parent in [*sweeps, None]}
    assert len(ids) == 3
    with pytest.raises(ValueError, match="key must be"):
        tracker.start_run("trial", key="it's")


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_the_end_is_explicit(tracker: Tracker, uri: str, status) -> None:
    run = tracker.start_run("run")
    run.finish(status)
    run.finish("FAILED" if status != "FAILED" else "FINISHED")
    info = MlflowClient(uri).get_run(run.run_id).info
    assert info.status == status
    assert info.end_time is not None


def test_runs_of_dead_processes_are_ended(tracker: Tracker, uri: str) -> None:
    sweep = tracker.start_run("sweep")
    done, dead = (tracker.start_run("trial", parent_run_id=sweep.run_id) for _ in range(2))
    done.finish("FINISHED")
    assert tracker.end_unfinished(sweep.run_id) == [dead.run_id]
    statuses = {run: MlflowClient(uri).get_run(run).info.status for run in (done.run_id, dead.run_id, sweep.run_id)}
    assert list(statuses.values()) == ["FINISHED", "KILLED", "RUNNING"]


def test_children_without_a_trial_are_deleted_and_can_be_brought_back(tracker: Tracker, uri: str) -> None:
    sweep, other = tracker.start_run("sweep"), tracker.start_run("another sweep")
    known, stranger = (tracker.start_run(key, parent_run_id=sweep.run_id, key=key) for key in ("known", "stranger"))
    elsewhere = tracker.start_run("stranger", parent_run_id=other.run_id, key="stranger")
    assert tracker.delete_other_children(sweep.run_id, {"known"}) == [stranger.run_id]
    stages = [MlflowClient(uri).get_run(run.run_id).info.lifecycle_stage for run in (known, stranger, elsewhere, sweep)]
    assert stages == ["active", "deleted", "active", "active"]


def test_a_deleted_experiment_is_named_with_the_remedy(tracker: Tracker, uri: str) -> None:
    MlflowClient(uri).delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        Tracker(uri, "tests").start_run("run")


def test_processes_that_write_at_once_to_a_fresh_database_lose_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    (tmp_path / "cwd").mkdir()
    command = [sys.executable, "-c", WRITERS, uri]
    done = subprocess.run(command, cwd=tmp_path / "cwd", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # nothing is printed
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("many").experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(f"{p}-{t}" for p in range(4) for t in range(2))
    for run in runs:
        process = int(run.info.run_name[0])
        for i in range(5):
            history = client.get_metric_history(run.info.run_id, f"m{i}")
            assert [(m.step, m.value) for m in history] == [(r, process + r * i) for r in range(15)]
    assert not any((tmp_path / "cwd").iterdir())


def test_a_trial_is_concluded_from_outside_and_its_end_stays_when_it_was(tracker: Tracker) -> None:
    sweep = tracker.start_run("sweep")
    ended = tracker.start_run("ended", parent_run_id=sweep.run_id, key="0")
    ended.finish("FINISHED")
    dead = tracker.start_run("dead", parent_run_id=sweep.run_id, key="1")
    client = MlflowClient(tracker.uri)
    end_time = client.get_run(ended.run_id).info.end_time

    def conclude(key: str, status: Status, rank: int) -> str:
        return tracker.conclude_run(sweep.run_id, key, status, {"outcome": status.lower()}, {"rank": float(rank)})

    assert conclude("0", "FINISHED", 1) == ended.run_id
    assert conclude("1", "FAILED", 2) == dead.run_id
    never_began = conclude("2", "FAILED", 3)
    runs = [client.get_run(run_id) for run_id in (ended.run_id, dead.run_id, never_began)]
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "FAILED"]
    assert [run.data.tags["outcome"] for run in runs] == ["finished", "failed", "failed"]
    assert [run.data.metrics["rank"] for run in runs] == [1, 2, 3]
    assert runs[0].info.end_time == end_time
    assert all(run.info.end_time for run in runs)
