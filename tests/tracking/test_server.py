import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from fedray.config import ExperimentConfig, load_config
from fedray.tracking import Tracker, TrackingError, outbox, recorded_run, send_kept
from tests.support.jobs import load
from tests.support.mlflow_models import load_model


class Clock:
    """The outbox's time: it passes when a test says so, and while a request is on its way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, request_s: float) -> None:
        self.now, self.requests = 0.0, 0
        send = MlflowClient.log_batch

        def log_batch(*arguments: object, **more: object) -> object:
            self.requests += 1
            self.now += request_s
            return send(*arguments, **more)

        monkeypatch.setattr(outbox, "time", self)
        monkeypatch.setattr(MlflowClient, "log_batch", log_batch)

    def monotonic(self) -> float:
        return self.now


def history(uri: str, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run_id, key)]


def files(uri: str, run_id: str, folder: str | None = None) -> list[str]:
    return [item.path for item in MlflowClient(uri).list_artifacts(run_id, folder)]


def test_runs_on_a_server_print_nothing(server, capfd: pytest.CaptureFixture) -> None:
    tracker = Tracker(server.uri, "quiet")
    run = tracker.start_run("run", params={"seed": 1})
    run.log_round(0, {"loss": 1.0, "nan": float("nan"), "inf": float("inf")})
    run.log_image(np.zeros((8, 8, 3), np.uint8), "samples", step=0)
    run.finish("FINISHED")
    assert capfd.readouterr() == ("", "")
    assert tracker.run_url(run.run_id) == f"{server.uri}/#/experiments/{tracker.experiment_id}/runs/{run.run_id}"
    assert len(MlflowClient(server.uri).get_run(run.run_id).data.metrics) == 3


def test_a_run_is_read_from_a_server(server, tmp_path: Path) -> None:
    run = Tracker(server.uri, "recorded").start_run("run")
    run.log_round(1, {"loss": 1.5})
    (tmp_path / "a.txt").write_text("text")
    run.log_artifact(tmp_path / "a.txt")
    run.finish("FINISHED")
    found = recorded_run(run.run_id, server.uri)
    assert (found.status, found.files(), found.history()) == ("FINISHED", ["a.txt"], {1: {"loss": 1.5}})
    (tmp_path / "copies").mkdir()
    assert found.download("a.txt", tmp_path / "copies").read_text() == "text"
    with pytest.raises(TrackingError, match=r"MLflow knows no run 0{32} at http"):
        recorded_run("0" * 32, server.uri)


def test_a_server_that_hangs_does_not_hold_up_training(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the time at the most: after a request that hung for a second, ten pass without one."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    run = Tracker(server.uri, "hang", flush_interval_s=0.0).start_run("run")
    server.freeze()
    with monkeypatch.context() as patch:
        clock = Clock(patch, request_s=1.0)
        for round_index in range(40):
            run.log_round(round_index, {"loss": float(round_index)})
            clock.now += 0.5
        assert clock.requests == 2
    server.thaw()
    run.finish("FINISHED")
    assert history(server.uri, run.run_id) == [(r, float(r)) for r in range(40)]


def test_a_server_that_is_away_between_rounds_costs_nothing_but_a_delay(
    server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(server.uri, "outage", flush_interval_s=0.0)
    run, given_up = tracker.start_run("run"), tracker.start_run("given up")
    run.log_round(0, {"loss": 10.0})
    server.stop()
    with monkeypatch.context() as patch:
        clock = Clock(patch, request_s=0.0)
        for round_index in range(1, 50):
            run.log_round(round_index, {"loss": 10.0 - round_index})
            run.log_image(np.full((8, 8, 3), round_index, np.uint8), "samples", step=round_index)
        assert clock.requests == 1, "nobody asks again at once"
        clock.now += 30.0
    run.log_config(ExperimentConfig())
    linear = nn.Linear(3, 2)
    model_uri = run.log_model(linear, (torch.randn(2, 3),), "generator")
    given_up.log_round(3, {"loss": 1.0})
    with pytest.raises(
        TrackingError, match=f"the metrics of round 3 could not be sent to {server.uri} within 1 s: conn"
    ):
        given_up.finish("FINISHED", deadline_s=1.0)
    with pytest.raises(TrackingError, match=f"'outage' could not be opened at {server.uri}"):
        Tracker(server.uri, "outage", patience_s=0.5).start_run("next")

    coming_back = threading.Thread(target=server.start)
    coming_back.start()
    Tracker(server.uri, "outage").start_run("late").finish("FINISHED")  # waits for the server
    coming_back.join()
    run.log_round(50, {"loss": -40.0})
    run.finish("FINISHED")
    client = MlflowClient(server.uri)
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert history(server.uri, run.run_id) == [(r, 10.0 - r) for r in range(51)]
    assert len(client.list_artifacts(run.run_id, "images")) == 2 * 49
    assert load_config(client.download_artifacts(run.run_id, "config.yaml")) == ExperimentConfig()
    noise = torch.randn(5, 3)
    torch.testing.assert_close(load_model(server.uri, model_uri)(noise), linear(noise))
    names = [run.info.run_name for run in client.search_runs([tracker.experiment_id])]
    assert sorted(names) == ["given up", "late", "run"]


def tell_everything(run, folder: Path) -> str:
    """Log one thing of each kind; returns the model's address."""
    for step in range(3):
        run.log_round(step, {"loss": float(step), "odd <label>": float("nan")})
    run.log_config(ExperimentConfig())
    run.describe("a note")
    (folder / "tables").mkdir()
    (folder / "tables" / "a.txt").write_text("text")
    run.log_artifact(folder / "tables", "results")
    run.log_image(np.full((8, 8, 3), 7, np.uint8), "samples", step=2)
    return run.log_model(nn.Linear(3, 2), (torch.randn(2, 3),), "generator", metrics={"fid": 1.5})


def test_a_server_that_was_away_at_the_end_is_told_all_by_one_command(
    server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, caplog
) -> None:
    out = tmp_path / "results"
    run = Tracker(server.uri, "kept", kept_in=str(out)).start_run("run", params={"first": 1})
    server.stop()
    model_uri = tell_everything(run, tmp_path)
    assert not run.flush()
    before = sorted(path.name for path in (out / "unsent" / run.run_id).iterdir())
    assert not run.flush() and sorted(path.name for path in (out / "unsent" / run.run_id).iterdir()) == before
    with caplog.at_level(logging.WARNING):
        run.finish("FINISHED", deadline_s=0.0)  # the job ends well
    assert "the metrics of rounds 0 to 2" in caplog.text and f"It is kept in {out}/unsent: jobs/sync.py" in caplog.text
    with pytest.raises(TrackingError, match=rf"connection refused.; 0 deliveries .* kept in {out}/unsent"):
        send_kept(str(out), server.uri)
    server.start()
    kept = shutil.copytree(out, tmp_path / "as if it died before it removed what it had sent")
    job, client = load("sync"), MlflowClient(server.uri)
    for _ in range(2):
        shutil.copytree(kept, out, dirs_exist_ok=True)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)  # MLflow's set_tracking_uri, below, writes it anew
        assert job.main([str(out)]) == 0
        assert f"sent to {server.uri}" in capsys.readouterr().out.replace("\n", "")
        assert list(out.iterdir()) == []
        found = client.get_run(run.run_id)
        assert found.info.status == "FINISHED" and found.data.params["first"] == "1"
        assert found.data.tags["mlflow.note.content"] == "a note"
        assert history(server.uri, run.run_id) == [(0, 0.0), (1, 1.0), (2, 2.0)]
        assert history(server.uri, run.run_id, "fid") == [(2, 1.5)]
        assert len(history(server.uri, run.run_id, "odd :lt:label:gt:")) == 3
        assert sorted(files(server.uri, run.run_id)) == ["config.yaml", "images", "results"]
        assert files(server.uri, run.run_id, "results/tables") == ["results/tables/a.txt"]
        assert len(files(server.uri, run.run_id, "images")) == 2
        assert len(client.search_logged_models([found.info.experiment_id])) == 1
        assert load_model(server.uri, model_uri)(torch.zeros(4, 3)).shape == (4, 2)
    assert job.main([str(out)]) == 0
    assert "MLflow lacks nothing" in capsys.readouterr().out
