import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from fedray.config import ExperimentConfig, load_config
from fedray.tracking import Tracker, TrackingError, outbox, recorded_run
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


def history(uri: str, run_id: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run_id, "loss")]


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
