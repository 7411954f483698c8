"""The check at a job's start: an address that cannot track fails here, with its name and a remedy."""

import contextlib
import os
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout

from fedray.storage import remove_dead, whole_file, why_not_writable
from fedray.tracking.address import is_server, is_sqlite, sqlite_path
from fedray.tracking.errors import TrackingError, brief, shown

_POLL_S = 0.5
_DATABASE_LOCK_S = 120.0  # creating a database takes about 5 s; a hundred processes may wait for it
_OPEN_DATABASE_S = 60.0  # 2 s on an idle machine, much more where a hundred trials start at once

_START_A_SERVER = "Start the server, or correct MLFLOW_TRACKING_URI; unset, runs go to a local SQLite database."
_MEND_A_DATABASE = (
    "Correct MLFLOW_TRACKING_URI; after a backup, `MLFLOW_DISABLE_TELEMETRY=true mlflow db upgrade ADDRESS` brings an "
    "older MLflow's database up to date."
)


@dataclass(frozen=True)
class _Problem:
    """Why a server does not answer as it should; ``passing`` if waiting may help."""

    text: str
    remedy: str = _START_A_SERVER
    passing: bool = False


def check_tracking(uri: str, timeout_s: float = 10.0) -> None:
    """Make sure that runs can be tracked at this address, before anything expensive starts.

    A SQLite database is created here, once, so that many processes can write to it afterwards.

    Args:
        uri: An http(s) address of an MLflow server, ``sqlite:///PATH``, or another database address.
        timeout_s: Longest to wait for an answer, in seconds.

    Raises:
        TrackingError: With the address tried (never with a password), what went wrong and the remedy.
    """
    if is_server(uri):
        _check_server(uri, timeout_s)
    elif is_sqlite(uri):
        create_database(uri)
        _check_request(uri, max(timeout_s, _OPEN_DATABASE_S))
    elif urlsplit(uri).scheme in ("", "file"):
        raise _error(uri, _Problem("is a folder, and MLflow no longer writes to one", "Use sqlite:///PATH/mlflow.db."))
    else:
        _check_request(uri, timeout_s)


def look_at_tracking(uri: str) -> None:
    """Do as :func:`check_tracking`, but create nothing: of a SQLite database that is not there, look at its folder.

    Raises:
        TrackingError: As of :func:`check_tracking`.
    """
    path = sqlite_path(uri) if urlsplit(uri).scheme == "sqlite" else None
    if path is None or (path.is_file() and path.stat().st_size > 0):
        check_tracking(uri)
        return
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not os.access(there, os.W_OK) or (there != path and not there.is_dir()):
        raise _unwritable(uri, "Permission denied" if there.is_dir() else "Not a directory", there)


def create_database(uri: str) -> None:
    """Create the SQLite database of this address unless it stands; safe for many processes at once.

    Raises:
        TrackingError: The address names no file, the folder cannot be written, or the file is no MLflow database.
    """
    path = sqlite_path(uri)
    if path is None:
        raise _error(
            uri, _Problem("names no file, and every process would see its own", "Use sqlite:////PATH/mlflow.db.")
        )
    with _database_lock(uri, path):
        try:
            if _has_schema(path):
                return
            _migrate(uri, path)
        except Exception as error:  # sqlite3, SQLAlchemy, alembic and MLflow each raise their own
            remedy = f"Move the file {path} away, or choose another one by MLFLOW_TRACKING_URI."
            raise _error(uri, _Problem(f"is no MLflow database: {brief(error, uri)}", remedy)) from None


def _migrate(uri: str, path: Path) -> None:
    """Have MLflow make its tables: in a new file of another name, which takes its place once they all stand."""
    from fedray.tracking.mlflow_client import connect

    remove_dead(path.parent, f"{path.name}.")  # what a first start that was killed had made
    if path.stat().st_size > 0 or "?" in uri:
        connect(uri)
        return
    with whole_file(path) as partial:
        connect(f"{uri}{partial.name.removeprefix(path.name)}")


@contextlib.contextmanager
def _database_lock(uri: str, path: Path) -> Iterator[None]:
    lock = FileLock(f"{path}.lock", timeout=_DATABASE_LOCK_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if problem := why_not_writable(path.parent):  # waiting for a lock would not say so
            raise OSError(0, problem, str(path.parent))
        lock.acquire()
        path.open("ab").close()
    except Timeout:
        remedy = f"End the process that holds {path}.lock."
        raise _error(uri, _Problem(f"has been locked for {_DATABASE_LOCK_S:.0f} s", remedy)) from None
    except OSError as error:
        lock.release()
        raise _unwritable(uri, error.strerror or str(error), error.filename) from None
    try:
        yield
    finally:
        lock.release()


def _unwritable(uri: str, reason: str, where: object) -> TrackingError:
    remedy = "Give a path that can be written by MLFLOW_TRACKING_URI=sqlite:////PATH/mlflow.db."
    return _error(uri, _Problem(f"cannot be written ({reason}: {where})", remedy))


def _has_schema(path: Path) -> bool:
    """Say whether the migrations have run; only true of a whole database where the lock is held."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return bool(tables[0]) and database.execute("SELECT 1 FROM alembic_version").fetchone() is not None


def _check_server(uri: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while (problem := _probe(uri, deadline - time.monotonic())) is not None:
        if not problem.passing or time.monotonic() + _POLL_S >= deadline:
            raise _error(uri, problem)
        time.sleep(_POLL_S)
    _check_request(uri, max(1.0, deadline - time.monotonic()))


def _probe(uri: str, timeout_s: float) -> _Problem | None:
    """Ask a server for its health, which needs no login; None if it answers."""
    verify: bool | str = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        verify = False
    client_cert = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=timeout_s, verify=verify, cert=client_cert)
    except requests.Timeout:
        return _Problem(
            f"gave no answer within {timeout_s:.1f} s", f"A firewall or a hanging server? {_START_A_SERVER}"
        )
    except (requests.RequestException, ValueError) as error:
        return _connection_problem(error, uri)
    return _status_problem(answer.status_code, "") if answer.status_code != 404 else None


def _connection_problem(error: Exception, uri: str) -> _Problem:
    causes = list(_chain(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return _Problem("names an unknown host", "Correct the host name in MLFLOW_TRACKING_URI.")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return _Problem("refuses connections: nothing listens there", passing=True)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        remedy = "Use http:// for a server without TLS, or name its certificate by MLFLOW_TRACKING_SERVER_CERT_PATH."
        return _Problem(f"fails at TLS: {brief(error, uri)}", remedy)
    return _Problem(f"cannot be reached: {brief(error, uri)}", passing=isinstance(error, requests.ConnectionError))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it came from; urllib3 hides the cause in ``reason`` and in the arguments."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]


def _status_problem(status: int, text: str) -> _Problem | None:
    if status == 401:
        remedy = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        return _Problem("asks for a login (401)", remedy)
    if status == 403:
        remedy = "Start the server with --allowed-hosts naming this host, or ask for permission on it for your login."
        return _Problem(f"forbids the request (403{': ' + text if text else ''})", remedy)
    if status >= 500:
        return _Problem(f"answers {status}{': ' + text if text else ''}", "Read the server's log.", passing=True)
    if status >= 400:
        return _Problem(f"answers, but not as an MLflow server ({status})", "Correct MLFLOW_TRACKING_URI.")
    return None


def _check_request(uri: str, timeout_s: float) -> None:
    """Make one request as runs will make them: with login, and through MLflow's own client."""
    from fedray.tracking.mlflow_client import connect, http_status

    try:
        _within(timeout_s, lambda: connect(uri).search_experiments(max_results=1))
    except TimeoutError:
        raise _error(uri, _Problem(f"gave no answer within {timeout_s:.1f} s")) from None
    except Exception as error:  # the database drivers' errors have no common base
        status = http_status(error) if is_server(uri) else None
        problem = _status_problem(status, brief(error, uri)) if status else None
        remedy = _START_A_SERVER if is_server(uri) else _MEND_A_DATABASE
        raise _error(uri, problem or _Problem(f"cannot be used: {brief(error, uri)}", remedy)) from None


def _within(timeout_s: float, call: Callable[[], object]) -> None:
    """Run a call that may hang; a thread it leaves behind does not keep the process alive."""
    outcome: list[Exception | None] = []

    def run() -> None:
        try:
            call()
            outcome.append(None)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True, name="tracking-check")
    thread.start()
    thread.join(timeout_s)
    if not outcome:
        raise TimeoutError
    if outcome[0] is not None:
        raise outcome[0]


def _error(uri: str, problem: _Problem) -> TrackingError:
    return TrackingError(f"the tracking address {shown(uri)} {problem.text}. {problem.remedy}")
