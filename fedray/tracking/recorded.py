"""Runs that MLflow has already: read, and never changed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedray.tracking.address import sqlite_path
from fedray.tracking.check import check_tracking
from fedray.tracking.errors import TrackingError, shown
from fedray.tracking.names import name_of_key
from fedray.tracking.retry import outlast

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARENT = "mlflow.parentRunId"
_PATIENCE_S = 10.0


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """A run as it is in MLflow; made by :func:`recorded_run`.

    Attributes:
        run_id: Its id.
        uri: The tracking address.
        status: ``FINISHED``, ``FAILED``, ``KILLED`` or ``RUNNING``.
        parent_run_id: Of the sweep that it is a trial of; None where it is none.
        location: Where its files are.
    """

    run_id: str
    uri: str
    status: str
    parent_run_id: str | None
    location: str
    _client: "MlflowClient"
    _metrics: tuple[str, ...]

    def __str__(self) -> str:
        """Name it, without a password."""
        return f"run {self.run_id} at {shown(self.uri)}"

    def files(self) -> list[str]:
        """List its files, those in no folder, by name.

        Raises:
            TrackingError: The server is away, or refuses.
        """
        listed = self._ask(lambda: self._client.list_artifacts(self.run_id), f"the files of {self.run_id}")
        return [item.path for item in listed if not item.is_dir]

    def download(self, name: str, folder: Path) -> Path:
        """Copy a file into a folder; returns the copy.

        Raises:
            TrackingError: It is not there, or the server is away.
        """
        return Path(
            self._ask(lambda: self._client.download_artifacts(self.run_id, name, str(folder)), f"its file {name}")
        )

    def history(self) -> dict[int, dict[str, float]]:
        """Return all metrics by step and name; of a step that was repeated the last ones.

        Raises:
            TrackingError: The server is away, or refuses.
        """
        found: dict[int, dict[str, float]] = {}
        for key in self._metrics:
            entries = self._ask(lambda key=key: self._client.get_metric_history(self.run_id, key), f"its metric {key}")
            for entry in sorted(entries, key=lambda entry: entry.timestamp):
                found.setdefault(entry.step, {})[name_of_key(key)] = entry.value
        return dict(sorted(found.items()))

    def _ask(self, call: Callable[..., Any], what: str) -> Any:
        return outlast(call, _PATIENCE_S, f"{what} could not be read", self.uri)


def recorded_run(run_id: str, uri: str) -> RecordedRun:
    """Look a run up; nothing is created where there is no database.

    Raises:
        TrackingError: There is no such run, it was deleted, or the address does not answer.
    """
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise TrackingError(
            f"there is no MLflow database {path}, so no run {run_id} in it; give the tracking address that the run's "
            "job had, by MLFLOW_TRACKING_URI for instance"
        )
    check_tracking(uri)
    from fedray.tracking.mlflow_client import connect, is_missing

    client = connect(uri)

    def look_up() -> "Run | None":
        try:
            return client.get_run(run_id)
        except Exception as error:  # MLflow's own, or the database's
            if is_missing(error):
                return None
            raise

    run = outlast(look_up, _PATIENCE_S, f"run {run_id} could not be looked up", uri)
    if run is None:
        raise TrackingError(
            f"MLflow knows no run {run_id} at {shown(uri)}; correct the id, or give the tracking address that its job "
            "had, by MLFLOW_TRACKING_URI for instance"
        )
    if run.info.lifecycle_stage == "deleted":
        raise TrackingError(
            f"run {run_id} at {shown(uri)} was deleted; bring it back by `mlflow runs restore --run-id {run_id}`"
        )
    return RecordedRun(
        run_id, uri, run.info.status, run.data.tags.get(_PARENT), run.info.artifact_uri, client, tuple(run.data.metrics)
    )
