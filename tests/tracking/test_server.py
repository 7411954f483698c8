import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from fedray.config import ExperimentConfig, load_config
from fedray.tracking import Tracker, TrackingError, check_tracking

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def _server_is_back(server) -> Iterator[None]:
    yield
    if server._process is None:
        server.start()


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


def test_a_server_that_is_away_between_rounds_costs_nothing_but_a_delay(server) -> None:
    tracker = Tracker(server.uri, "outage", flush_interval_s=0.0)
    run = tracker.start_run("run", key="outage")
    run.log_round(0, {"loss": 10.0})
    server.stop()
    started = time.monotonic()
    for round_index in range(1, 50):
        run.log_round(round_index, {"loss": 10.0 - round_index})
        run.log_image(np.full((8, 8, 3), round_index, np.uint8), "samples", step=round_index)
    run.log_config(ExperimentConfig())
    assert time.monotonic() - started < 5.0
    linear = nn.Linear(3, 2)
    model_uri = run.log_generator(linear, (torch.randn(2, 3),))
    server.start()
    run.log_round(50, {"loss": -40.0})
    run.finish("FINISHED")
    client = MlflowClient(server.uri)
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert history(server.uri, run.run_id) == [(r, 10.0 - r) for r in range(51)]
    assert len(client.list_artifacts(run.run_id, "images")) == 2 * 49
    assert load_config(client.download_artifacts(run.run_id, "config.yaml")) == ExperimentConfig()
    noise = torch.randn(5, 3)
    torch.testing.assert_close(tracker.load_generator(model_uri)(noise), linear(noise))


def test_a_server_that_hangs_does_not_hold_up_training(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    run = Tracker(server.uri, "hang", flush_interval_s=0.0).start_run("run")
    server.freeze()
    started = time.monotonic()
    for round_index in range(20):
        run.log_round(round_index, {"loss": float(round_index)})
    assert time.monotonic() - started < 5.0
    server.thaw()
    run.finish("FINISHED")
    assert history(server.uri, run.run_id) == [(r, float(r)) for r in range(20)]


def test_a_server_that_stays_away_is_named_at_the_end(server) -> None:
    tracker = Tracker(server.uri, "gone", patience_s=1.0)
    run = tracker.start_run("run")
    server.stop()
    run.log_round(3, {"loss": 1.0})
    started = time.monotonic()
    with pytest.raises(TrackingError, match=f"1 metrics of rounds 3 to 3 could not be sent to {server.uri}"):
        run.finish("FINISHED")
    with pytest.raises(TrackingError, match=server.uri):
        tracker.start_run("next")
    assert time.monotonic() - started < 10.0


def test_a_run_starts_while_the_server_comes_back(server) -> None:
    tracker = Tracker(server.uri, "late")
    server.stop()
    server_is_back = _in_background(server.start)
    run = tracker.start_run("run")
    run.finish("FINISHED")
    server_is_back.join()
    check_tracking(server.uri)
    assert len(MlflowClient(server.uri).search_runs([tracker.experiment_id])) == 1


def _in_background(call):
    import threading

    thread = threading.Thread(target=call)
    thread.start()
    return thread
