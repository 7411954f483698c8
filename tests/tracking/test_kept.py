"""What MLflow did not take is kept beside the results, and sent later: all of it, and nothing twice."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from fedray.config import ExperimentConfig
from fedray.errors import UserError
from fedray.experiment import run as running
from fedray.experiment.settled import settled
from fedray.results import Place
from fedray.storage import SharedFolder, digest, sealed
from fedray.tracking import Tracker, is_kept, send_kept
from tests.support.small_jobs import Untold, without_computing

REQUESTS = ("log_batch", "set_tag", "log_inputs", "log_artifact", "log_artifacts", "set_terminated", "update_run")


@contextmanager
def away() -> Iterator[None]:
    """MLflow does not answer what runs ask of it."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("Connection refused")

    with pytest.MonkeyPatch.context() as patch:
        for name in REQUESTS:
            patch.setattr(MlflowClient, name, refuse)
        yield


def history(uri: str, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run_id, key)]


def files(uri: str, run_id: str, folder: str | None = None) -> list[str]:
    return [item.path for item in MlflowClient(uri).list_artifacts(run_id, folder)]


@pytest.fixture
def job(small_config: Callable[..., ExperimentConfig], uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An experiment of sums in three rounds with a checkpoint every second one, which MLflow is told of."""
    without_computing(monkeypatch)
    monkeypatch.setattr(running, "Tracker", partial(Tracker, patience_s=0.0, flush_interval_s=0.0))
    config = settled(small_config(federation__num_rounds=5, federation__checkpoint_every=2))

    class Told(Untold):
        def open(self, tracker, config, store, key, tags):
            return tracker.start_run("run", key=key)

        def on_round(self, tracked, store):
            return lambda result: tracked.log_round(result.report.round_index, {"loss": 0.0})

    def run(on_round: Callable[[object], None] = lambda result: None):
        arguments = {"out": Place.at(tmp_path / "run"), "tracking_uri": uri, "on_round": on_round, "telling": Told()}
        return running.run_experiment(config, **arguments)

    return run


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


def test_a_job_that_ended_without_mlflow_ends_well_and_the_resume_tells_it_all_once(job, uri, tmp_path, caplog):
    leave = away()

    def after(result) -> None:
        if result.report.round_index == 1:
            leave.__enter__()

    with caplog.at_level(logging.WARNING):
        first = job(after)
    assert history(uri, first.run_id) == [(1, 0.0)] and "jobs/sync.py" in caplog.text
    caplog.clear()
    assert job().scores == first.scores and "deliveries were sent, the others are kept in" in caplog.text
    leave.__exit__(None, None, None)
    for _ in range(2):
        again = job()
        assert again.run_id == first.run_id and again.scores == first.scores
        assert history(uri, first.run_id) == [(step, 0.0) for step in range(1, 6)]
        assert "samples.png" in files(uri, first.run_id)
        assert MlflowClient(uri).get_run(first.run_id).info.status == "FINISHED"
        assert not is_kept(str(tmp_path / "run"))


@pytest.mark.parametrize("is_away", [False, True])
def test_a_job_that_was_killed_between_checkpoints_tells_no_round_twice(job, uri, monkeypatch, is_away):
    leave = away()

    def after(result) -> None:
        if result.report.round_index == 1 and is_away:
            leave.__enter__()
        if result.report.round_index == 3:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("fedray.tracking.run.TrackedRun.finish", lambda *_: None)
        job(after)
    if is_away:
        leave.__exit__(None, None, None)
    assert [step for step, _ in history(uri, job().run_id)] == [1, 2, 3, 4, 5]


def test_pictures_of_a_round_that_is_repeated_are_there_once(uri: str) -> None:
    for _ in range(2):
        run = Tracker(uri, "tests").start_run("run", key="one", params={"seed": 1})
        run.log_image(np.zeros((8, 8, 3), np.uint8), "samples", step=0)
    run.log_image(np.zeros((8, 8, 3), np.uint8), "samples", step=1)
    run.finish("FINISHED")
    assert len(files(uri, run.run_id, "images")) == 4


def test_a_model_that_is_logged_again_after_a_resume_is_there_once_with_its_scores(uri: str) -> None:
    for _ in range(2):  # the second time of a job that was killed before its end
        run = Tracker(uri, "tests").start_run("run", key="one", params={"seed": 1})
        run.log_round(3, {"fid": 1.5})
        run.log_model(nn.Linear(3, 2), (torch.randn(2, 3),), "generator", metrics={"fid": 1.5, "kid": 0.5})
    run.finish("FINISHED")
    (model,) = MlflowClient(uri).search_logged_models([run.experiment_id])
    assert {metric.key: metric.value for metric in model.metrics} == {"fid": 1.5, "kid": 0.5}
    assert history(uri, run.run_id, "fid") == [(3, 1.5)] and history(uri, run.run_id, "kid") == [(3, 0.5)]


def left(uri: str, place: Path | str) -> str:
    """Leave a file and a figure unsent; returns the run's id."""
    run = Tracker(uri, "tests", patience_s=0.0, kept_in=str(place)).start_run("run")
    with away():
        run.log_round(1, {"loss": 0.5})
        run.log_config(ExperimentConfig())
        run.finish("FAILED")
    return run.run_id


def test_what_is_kept_on_shared_storage_goes_from_there(uri: str, tmp_path: Path) -> None:
    place = f"file://{tmp_path}/bucket/step/of/a/study"
    run_id = left(uri, place)
    assert is_kept(f"file://{tmp_path}/bucket")
    num_kept = len(list((tmp_path / "bucket").rglob("*.zip")))
    assert len(send_kept(f"file://{tmp_path}/bucket", uri).sent) == num_kept >= 4
    assert history(uri, run_id) == [(1, 0.5)] and files(uri, run_id) == ["config.yaml"]
    assert SharedFolder(f"file://{tmp_path}/bucket").names() == []
    assert MlflowClient(uri).get_run(run_id).info.status == "FAILED"


def test_what_mlflow_refuses_for_good_stays_and_the_rest_goes(uri: str, tmp_path: Path) -> None:
    lost, other = left(uri, tmp_path / "out"), left(uri, tmp_path / "out")
    MlflowClient(uri).delete_run(lost)
    result = send_kept(str(tmp_path / "out"), uri)
    assert all(lost in told for told in result.refused) and result.refused
    assert history(uri, other) == [(1, 0.5)]
    assert [path.name for path in (tmp_path / "out" / "unsent").iterdir()] == [lost]


def edit(out: Path, change: Callable[[dict], object], reseal: Callable[[dict], bytes] = sealed) -> Path:
    """Change the record of the file that is kept, as somebody would who can write there; returns its archive."""
    for path in (out / "unsent").rglob("*.zip"):
        with ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        record = json.loads(contents["record.json"])
        if record["kind"] == "file":
            change(record)
            contents["record.json"] = reseal(record)
            with ZipFile(path, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
            return path
    raise AssertionError("a file is kept")


@pytest.mark.parametrize("change", ["damage", "elsewhere", "a name that leads out", "other files", "a link", "a kind"])
def test_who_can_write_to_the_results_has_nothing_else_sent_and_nothing_sent_elsewhere(
    uri: str, tmp_path: Path, change: str
) -> None:
    out, secret = tmp_path / "out", tmp_path / "secret"
    run_id = left(uri, out)
    secret.write_text("a key")
    if change == "damage":
        edit(out, lambda record: record["content"].update(target="x"), lambda record: json.dumps(record).encode())
    else:
        values = {
            "elsewhere": {"tracking": "https://mlflow.example"},
            "a kind": {"kind": "a shell"},
            "a name that leads out": {"files": {"../../secret": digest(b"a key")}},
            "other files": {"files": {"config.yaml": digest(b"a key")}},
            "a link": {},
        }
        path = edit(out, lambda record: record.update(values[change]), lambda record: sealed(plain(record)))
        if change == "a link":
            path.rename(tmp_path / "elsewhere.zip")
            path.symlink_to(tmp_path / "elsewhere.zip")
    with pytest.raises(UserError, match="unsent"):
        send_kept(str(out), uri)
    assert files(uri, run_id) == []


def plain(record: dict) -> dict:
    """Return a record without its seal."""
    return {name: value for name, value in record.items() if name not in ("sealed", "seal")}
