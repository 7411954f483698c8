"""Open the MLflow UI on the runs of this folder: ``python -m fedray.tracking.ui``, or ``make ui``."""

import os
import socket
import sys
from pathlib import Path

from fedray.tracking.address import is_server, resolve_tracking_uri, sqlite_path
from fedray.tracking.errors import TrackingError, shown
from fedray.tracking.view import newest_pages

HOST = "127.0.0.1"
"""Of this machine alone: the UI asks for no login."""
FIRST_PORT = 5000
_NUM_PORTS = 100

# Read by the UI's processes; what the user has set stays.
_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # background workers for services that FedRay does not use
    "PYTHONWARNINGS": "ignore",  # deprecations inside MLflow, on which no reader can act
}


def main() -> int:
    """Become the MLflow UI; where a server tracks, print its address. Returns the exit status where it returns."""
    uri = resolve_tracking_uri(Path.cwd())
    if is_server(uri):
        print("The runs are on a server; open in a browser")
        for page in first_pages(uri, shown(uri)):
            print(f"  {page}")
        return 0
    try:
        command = ui_arguments(uri, free_port())
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The MLflow UI on {shown(uri)} opens in a few seconds (Ctrl-C ends it) at", flush=True)
    for page in first_pages(uri, f"http://{HOST}:{command[-1]}"):
        print(f"  {page}", flush=True)
    os.execve(command[0], command, _ENVIRONMENT | os.environ)


def first_pages(uri: str, address: str) -> list[str]:
    """Return what to open first, a line a page: what was run last as a table, as charts, in pictures.

    Args:
        uri: Where the runs are.
        address: Of the UI that shows them, which is all that is returned where there is nothing of ours, or where its
            database cannot be read: the UI says why.
    """
    from fedray.tracking.mlflow_client import connect

    try:
        pages = newest_pages(address, {found.experiment_id: found.tags for found in connect(uri).search_experiments()})
    except Exception:  # MLflow, requests and the database drivers each raise their own
        pages = {}
    return [f"{name}: {page}" for name, page in pages.items()] or [address]


def ui_arguments(uri: str, port: int) -> list[str]:
    """Return the command that serves the UI of a database, with this Python's own MLflow; the port comes last.

    Raises:
        TrackingError: The address is SQLite's, and there is no such file yet.
    """
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise TrackingError(f"there are no runs yet: no database at {path}; run make sweep first")
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", HOST, "--port", str(port)]


def free_port(first: int = FIRST_PORT) -> int:
    """Return the first port from ``first`` on that nothing listens on.

    Raises:
        TrackingError: All of the next hundred are taken.
    """
    for port in range(first, first + _NUM_PORTS):
        try:
            # As the UI will bind it: a port whose last server has just ended counts as free.
            socket.create_server((HOST, port)).close()
        except OSError:
            continue
        return port
    raise TrackingError(f"the ports {first} to {first + _NUM_PORTS - 1} of {HOST} are all taken; end a server there")


if __name__ == "__main__":
    sys.exit(main())
