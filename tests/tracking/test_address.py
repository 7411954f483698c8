import shlex
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy.engine import make_url

from fedray.tracking import (
    Tracker,
    check_tracking,
    is_own,
    resolve_tracking_uri,
    run_url,
    shown,
    ui_command,
)
from fedray.tracking.address import sqlite_path, sqlite_uri


def test_without_a_setting_runs_go_to_sqlite_in_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert resolve_tracking_uri(Path(".")) == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://u:p@host/db", "sqlite:////data/mlflow.db"])
def test_the_users_address_stays(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert resolve_tracking_uri(tmp_path) == uri


def test_a_relative_database_is_the_same_one_for_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/mlflow.db?timeout=30")
    assert resolve_tracking_uri(Path("/")) == f"sqlite:///{tmp_path}/runs/mlflow.db?timeout=30"


FOLDERS = [
    "data export", "data%20export", "a%2Fb", "50%", "a?b", "a?x=1", "a#b", "a&b=c;d", "it's", "[red]", "ü", "token=x",
]  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folders_name_is_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, as an absolute address and as a relative one; SQLAlchemy opens this very file."""
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = resolve_tracking_uri(folder)
    for written in (f"sqlite:///{folder}/mlflow.db", f"sqlite:///{name}/mlflow.db", uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", written)
        assert resolve_tracking_uri(Path("/")) == uri
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{written}?timeout=30")
        assert resolve_tracking_uri(Path("/")) == f"{uri}?timeout=30"
    assert sqlite_path(uri) == folder / "mlflow.db"
    assert str(make_url(uri).database) == str(folder / "mlflow.db")
    assert shlex.split(ui_command(uri))[-1] == uri, "the command that is printed opens the same file"


@pytest.mark.parametrize("name", ["data%20export", "a?b"])
def test_runs_and_files_go_into_such_a_folder_and_nowhere_else(name: str, new_database, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    new_database(folder)
    uri = sqlite_uri(folder / "mlflow.db")
    check_tracking(uri)
    run = Tracker(uri, "tests").start_run("run")
    run.log_artifact(Path(__file__), "sub")
    run.finish("FINISHED")
    copy = MlflowClient(uri).download_artifacts(run.run_id, f"sub/{Path(__file__).name}")
    assert Path(copy).read_text() == Path(__file__).read_text()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sorted(path.name for path in folder.iterdir()) == ["mlartifacts", "mlflow.db", "mlflow.db.lock"]


def test_addresses_are_shown_without_secrets() -> None:
    assert shown("postgresql://me:s3cr@t@host/db?sslmode=on&password=s3cret") == (
        "postgresql://***@host/db?sslmode=on&password=***"
    )
    assert "token" not in ui_command("http://token@host:5000")
    assert run_url("https://me:secret@host/mlflow/", "1", "abc") == "https://host/mlflow/#/experiments/1/runs/abc"


def test_the_ui_is_opened_on_the_same_store(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ui_command("sqlite:////a b/mlflow.db")
    assert command.startswith("MLFLOW_DISABLE_TELEMETRY=true ") and command.endswith(
        "python -m mlflow ui --backend-store-uri 'sqlite:////a b/mlflow.db'"
    )
    assert ui_command("http://host:5000") == "python -m webbrowser http://host:5000"


def test_a_checkouts_own_command_is_printed_where_the_job_ran_in_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here, elsewhere = f"sqlite:///{tmp_path}/mlflow.db", "sqlite:////a b/mlflow.db"
    (tmp_path / "Makefile").write_text("ui:\n\techo another project's\n")
    assert ui_command(here).endswith(f"mlflow ui --backend-store-uri {here}")
    (tmp_path / "Makefile").write_bytes((Path(__file__).parents[2] / "Makefile").read_bytes())
    assert ui_command(here) == "make ui"
    assert ui_command(elsewhere) == "MLFLOW_TRACKING_URI='sqlite:////a b/mlflow.db' make ui"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    assert ui_command(elsewhere) == "make ui"
    assert ui_command("http://host:5000") == "python -m webbrowser http://host:5000"


@pytest.mark.parametrize(
    ("uri", "own"),
    [
        ("sqlite:////tmp/a/mlflow.db", True),
        ("sqlite+pysqlite:////tmp/50%25/mlflow.db", True),
        ("/tmp/mlruns", True),
        ("file:///tmp/mlruns", True),
        ("http://localhost:5000", True),
        ("http://127.0.0.2:5000/mlflow", True),
        ("http://anna:secret@[::1]:5000", True),
        ("postgresql://anna@localhost/mlflow", True),
        ("http://0.0.0.0:5000", False),
        ("http://10.0.0.7:5000", False),
        ("https://mlflow.hospital.example", False),
        ("https://127.0.0.1.hospital.example", False),
        ("https://localhost@hospital.example", False),
        ("postgresql://db.hospital.example/mlflow", False),
        ("file://fileserver/mlruns", False),
        ("databricks", False),
        ("databricks://profile", False),
    ],
)
def test_an_address_is_this_machines_own_only_where_that_is_sure(uri: str, own: bool) -> None:
    assert is_own(uri) is own
