import os
import re
import socket
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fedray.tracking import START_TIME, RunsView, Tracker, TrackingError, ui


def test_without_a_database_it_says_what_to_do_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert ui.main() == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "mlflow.db") in said and "run make sweep first" in said
    assert not (tmp_path / "mlflow.db").exists()


def test_the_command_runs_this_pythons_mlflow_on_the_database(uri: str) -> None:
    assert ui.ui_arguments(uri, 5003) == [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", "5003",
    ]  # fmt: skip


def test_the_process_becomes_the_ui(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *call: became.append(call))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")
    ui.main()
    [(path, arguments, environment)] = became
    assert path == arguments[0] == sys.executable and uri in arguments
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "true", "the user's own setting stays"


def test_a_server_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host/mlflow")
    assert ui.main() == 0
    said = capsys.readouterr().out
    assert "host/mlflow" in said and "secret" not in said


def test_it_names_the_pages_of_what_was_run_last(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "execve", lambda *call: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    ui.main()
    assert re.search(r"\n  http://127\.0\.0\.1:\d+\n", capsys.readouterr().out), "without a view: where the UI is"

    first, second = Tracker(uri, "first"), Tracker(uri, "second")
    view = RunsView("a sweep", search="", order=START_TIME, ascending=True)
    second.keep_views("older", view)
    assert first.keep_views("newer", view, pictures=view) == {}, "a database has no pages of its own"
    MlflowClient(uri).set_experiment_tag(second.experiment_id, "mlflow.sharedViewState.178", view.tag())  # the user's
    ui.main()
    pages = [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert pages == ["  runs", "  charts", "  pictures"]
    [runs, _, pictures] = ui.first_pages(uri, "http://host")
    key = "viewStateShareKey=fedray-newer"
    address = f"http://host/#/experiments/{first.experiment_id}/runs?{key}"
    assert runs == f"runs: {address}&workflowType=machine_learning"
    assert pictures == f"pictures: {address}-pictures&workflowType=machine_learning&compareRunsMode=CHART"


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert ui.free_port(port) > port


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "_NUM_PORTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(TrackingError, match="all taken"):
        ui.free_port(taken.getsockname()[1])
