"""Where runs are tracked, and how a person looks at them there."""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from fedray.config.cli import this_python
from fedray.tracking.errors import shown

SQLITE = "sqlite:///"
_TRAINING_VIEW = {"workflowType": "machine_learning"}  # MLflow's UI has another one, for language models


def resolve_tracking_uri(root: Path) -> str:
    """Return the tracking address: ``MLFLOW_TRACKING_URI``, else the SQLite database ``mlflow.db`` in ``root``.

    A relative SQLite path is made absolute here, because trials run in other working directories.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return f"{SQLITE}{root.resolve() / 'mlflow.db'}"
    path = sqlite_path(uri)
    return uri if path is None else uri.replace(uri[len(SQLITE) :].split("?")[0], str(path.resolve()), 1)


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite address; None for other addresses and for databases in memory."""
    path = uri[len(SQLITE) :].split("?")[0] if uri.startswith(SQLITE) else ""
    return None if path in ("", ":memory:") else Path(path)


def is_server(uri: str) -> bool:
    """Say whether the address is an MLflow server's (``http`` or ``https``)."""
    return urlsplit(uri).scheme in ("http", "https")


def ui_command(uri: str) -> str:
    """Return the command that opens the MLflow UI on this store; a password in the address is left out."""
    if is_server(uri):
        return f"python -m webbrowser {shlex.quote(shown(uri))}"
    return f"{this_python()} -m mlflow ui --backend-store-uri {shlex.quote(shown(uri))}"


def experiment_url(uri: str, experiment_id: str) -> str | None:
    """Return the page on which the experiment's runs are compared; None where no server runs."""
    return f"{_without_userinfo(uri)}/#/experiments/{experiment_id}" if is_server(uri) else None


def run_url(uri: str, experiment_id: str, run_id: str) -> str | None:
    """Return the page of a run; None where no server runs."""
    page = experiment_url(uri, experiment_id)
    return f"{page}/runs/{run_id}" if page else None


def compare_url(uri: str, experiment_id: str, run_ids: Sequence[str]) -> str | None:
    """Return the page that compares runs: parallel coordinates, scatter plots and tables; None where no server runs."""
    if not is_server(uri):
        return None
    asked = {"runs": list(run_ids), "experiments": [experiment_id]}
    query = urlencode({name: json.dumps(ids, separators=(",", ":")) for name, ids in asked.items()} | _TRAINING_VIEW)
    return f"{_without_userinfo(uri)}/#/compare-runs?{query}"


def _without_userinfo(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
