import contextlib
import http.server
import pickle
import shutil
import socket
import sqlite3
import threading
import traceback
from pathlib import Path

import pytest

from fedray.tracking import Tracker, TrackingError, check, check_tracking
from fedray.tracking.address import sqlite_path
from fedray.tracking.check import create_database


def failure(uri: str, timeout_s: float) -> str:
    """Return the message and the whole traceback of a check that must fail."""
    with pytest.raises(TrackingError) as caught:
        check_tracking(uri, timeout_s)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is TrackingError
    assert str(copy) == str(caught.value)
    return "".join(traceback.format_exception(caught.value))


def test_a_running_server_passes(server) -> None:
    check_tracking(server.uri)


def test_a_closed_port_is_named(closed_port: int) -> None:
    message = failure(f"http://127.0.0.1:{closed_port}", 1.5)
    assert f"http://127.0.0.1:{closed_port}" in message
    assert "refuses connections" in message


def test_a_server_that_never_answers_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        message = failure(uri, 1.0)
    assert uri in message
    assert "no answer within 1.0 s" in message


def test_an_unknown_host_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again, as a server that is about to start is."""
    monkeypatch.setattr(check, "_POLL_S", -1.0)  # to sleep so long is an error
    assert "unknown host" in failure("http://tracking.invalid:5000", 10.0)


def test_no_password_is_printed(closed_port: int) -> None:
    uri = f"http://somebody:hunter22@127.0.0.1:{closed_port}"
    messages = [failure(uri, 0.5)]
    for call in (
        lambda: Tracker(uri, "e", patience_s=0.5).start_run("x"),
        lambda: check_tracking("file:///hunter22@a"),
    ):
        with pytest.raises(TrackingError) as caught:
            call()
        messages.append("".join(traceback.format_exception(caught.value)))
    assert "hunter22" not in "".join(messages[:2]) + repr(Tracker(uri, "e"))
    assert all("127.0.0.1" in message for message in messages[:2])


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "MLFLOW_TRACKING_USERNAME"), (403, "--allowed-hosts"), (503, "log"), (418, "correct")]
)
def test_each_status_has_its_remedy(status: int, remedy: str) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        message = failure(f"http://127.0.0.1:{answering.server_port}", 1.0)
        answering.shutdown()
    assert str(status) in message
    assert remedy.lower() in message.lower()


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "/tmp/mlruns"])
def test_the_file_store_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="sqlite:///"):
        check_tracking(uri)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="names no file"):
        check_tracking(uri)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackingError, match=r"cannot be written.*file/mlflow.db|cannot be written.*file"):
        check_tracking(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


def test_an_older_mlflows_database_is_named_with_the_remedy(uri: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        database.commit()
    with pytest.raises(TrackingError, match=r"out-of-date.*mlflow db upgrade"):
        check_tracking(uri)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("rounds: 3\n" * 1000)
    with pytest.raises(TrackingError, match="is no MLflow database"):
        check_tracking(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_a_first_start_that_is_interrupted_leaves_no_half_database(tmp_path, new_database, monkeypatch):
    """MLflow makes forty tables in a row; who finds half of them cannot go on."""
    template = tmp_path / "template"
    template.mkdir()
    new_database(template)
    path = tmp_path / "mlflow.db"

    def half(uri: str) -> None:
        with contextlib.closing(sqlite3.connect(sqlite_path(uri))) as database:
            database.execute("CREATE TABLE experiments (experiment_id INTEGER)")
            database.commit()
        raise KeyboardInterrupt

    def whole(uri: str) -> None:
        made = sqlite_path(uri)
        assert made != path and not made.exists()
        shutil.copy(template / "mlflow.db", made)

    monkeypatch.setattr("fedray.tracking.mlflow_client.connect", half)
    with pytest.raises(KeyboardInterrupt):
        create_database(f"sqlite:///{path}")
    assert path.stat().st_size == 0
    monkeypatch.setattr("fedray.tracking.mlflow_client.connect", whole)
    create_database(f"sqlite:///{path}")
    assert path.read_bytes() == (template / "mlflow.db").read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock", "template"]
