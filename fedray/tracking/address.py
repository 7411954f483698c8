"""Where runs are tracked, and how a person looks at them there."""

import ipaddress
import os
import re
import shlex
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from fedray.environment import SILENT
from fedray.terminal import this_python
from fedray.tracking.errors import shown

SQLITE = "sqlite:///"
# What follows the last question mark is options only where it looks like them: ?timeout=30&uri=true
_WRITTEN_SQLITE = re.compile(r"sqlite:///(?P<path>.+?)(?P<options>\?[^?/=&]+=[^?/&]*(&[^?/=&]+=[^?/&]*)*)?")
_TRAINING_VIEW = {"workflowType": "machine_learning"}  # MLflow's UI has another one, for language models


def resolve_tracking_uri(root: Path) -> str:
    """Return the tracking address: ``MLFLOW_TRACKING_URI``, else the SQLite database ``mlflow.db`` in ``root``.

    The path of a SQLite address is taken as it is written: a folder ``data%20export`` is of that name. A relative one
    is made absolute here, because trials run in other working directories.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return sqlite_uri(root.resolve() / "mlflow.db")
    written = _WRITTEN_SQLITE.fullmatch(uri)
    if written is None or written["path"] == ":memory:":
        return uri
    return sqlite_uri(Path(written["path"]).resolve()) + (written["options"] or "")


def sqlite_uri(path: Path) -> str:
    """Return the address of a SQLite file, whatever its name holds.

    SQLAlchemy ends the path at ``?`` and decodes ``%20`` in it, while MLflow makes the folder that stands in a
    ``sqlite:`` address letter by letter. A path that this concerns is encoded, under the scheme's long name, which
    MLflow hands on as it is.
    """
    plain = f"{SQLITE}{path}"
    if sqlite_path(plain) == path:
        return plain
    from sqlalchemy.engine import URL

    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite address; None for other addresses and for databases in memory."""
    if not is_sqlite(uri):
        return None
    from sqlalchemy.engine import make_url

    path = make_url(uri).database
    return None if path in (None, "", ":memory:") else Path(path)


def is_sqlite(uri: str) -> bool:
    """Say whether the address is a SQLite database's."""
    return urlsplit(uri).scheme.partition("+")[0] == "sqlite"


def is_server(uri: str) -> bool:
    """Say whether the address is an MLflow server's (``http`` or ``https``)."""
    return urlsplit(uri).scheme in ("http", "https")


def is_own(uri: str) -> bool:
    """Say whether what is tracked at an address stays on this machine: in a file, or with a server of the loopback."""
    parts = urlsplit(uri)
    if is_sqlite(uri) or parts.scheme == "file":
        return parts.hostname in (None, "", "localhost")
    if uri.startswith(("/", ".")):
        return True
    try:
        return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:  # a name, or none
        return False


def ui_command(uri: str) -> str:
    """Return the command that opens the MLflow UI on this store; a password in the address is left out.

    In a checkout of FedRay that is ``make ui``.
    """
    if is_server(uri):
        return f"python -m webbrowser {shlex.quote(shown(uri))}"
    if _is_checkout(Path.cwd()):
        told = resolve_tracking_uri(Path.cwd()) == uri
        return "make ui" if told else f"MLFLOW_TRACKING_URI={shlex.quote(shown(uri))} make ui"
    silent = f"MLFLOW_DISABLE_TELEMETRY={SILENT['MLFLOW_DISABLE_TELEMETRY']}"  # of a command that starts without us
    return f"{silent} {this_python()} -m mlflow ui --backend-store-uri {shlex.quote(shown(uri))}"


def _is_checkout(folder: Path) -> bool:
    """Say whether a folder's Makefile is FedRay's."""
    try:
        return "-m fedray.tracking.ui" in (folder / "Makefile").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def view_url(uri: str, experiment_id: str, key: str) -> str | None:
    """Return the page that opens a view kept with the experiment as a table; None where no server runs."""
    query = urlencode({"viewStateShareKey": key} | _TRAINING_VIEW)
    return f"{_experiment(uri, experiment_id)}/runs?{query}" if is_server(uri) else None


def charts_url(uri: str, experiment_id: str, key: str) -> str | None:
    """Return the page that opens a view kept with the experiment as charts; None where no server runs."""
    table = view_url(uri, experiment_id, key)
    return f"{table}&compareRunsMode=CHART" if table else None


def run_url(uri: str, experiment_id: str, run_id: str) -> str | None:
    """Return the page of a run; None where no server runs."""
    return f"{_experiment(uri, experiment_id)}/runs/{run_id}" if is_server(uri) else None


def _experiment(uri: str, experiment_id: str) -> str:
    return f"{_without_userinfo(uri)}/#/experiments/{experiment_id}"


def _without_userinfo(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
