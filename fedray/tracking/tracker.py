"""One process's connection to an MLflow experiment: runs are started, continued and tidied up here."""

import functools
import getpass
import re
import sys
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fedray.storage import private_folder
from fedray.tracking.address import is_own, run_url, sqlite_path
from fedray.tracking.check import create_database
from fedray.tracking.errors import TrackingError, shown
from fedray.tracking.names import MAX_NAME_LENGTH, mlflow_key, storable
from fedray.tracking.retry import outlast
from fedray.tracking.run import Status, TrackedRun, metric_entries
from fedray.tracking.view import OURS, PICTURES, VIEW_TAG, Pages, RunsView, pages_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

_PARENT = "mlflow.parentRunId"
_KEY = "fedray.key"
_KEY_PATTERN = re.compile(r"[\w\-./:=, ]{1,500}")
_MAX_TAG_LENGTH = 8000
_MAX_EXPERIMENT_LENGTH = 500
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development"
}  # else the UI opens it as one of language models


class Tracker:
    """A connection to one MLflow experiment. Cheap to make and to pickle: it connects with the first run.

    Nothing process-wide is set: no active run, no global tracking address. Runs of several threads do not meet.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        real_tiles: bool | None = None,
        patience_s: float = 120.0,
        flush_interval_s: float = 1.0,
        kept_in: str | None = None,
    ) -> None:
        """Describe the connection.

        Args:
            uri: The tracking address; :func:`check_tracking` has looked at it.
            experiment: Name of the experiment, at most 500 characters, created where it is missing.
            real_tiles: Whether what is logged may show real tiles; unset: where it stays on this machine alone.
            patience_s: Longest to keep trying while the server is away, when a run starts and finishes, in seconds.
            flush_interval_s: Shortest time between two requests for metrics, in seconds; faster rounds share one.
            kept_in: Folder or address of results, below which what a run could not send is kept; None: it is lost.
        """
        self.uri = uri
        self.experiment = storable(experiment, _MAX_EXPERIMENT_LENGTH)
        self.real_tiles = is_own(uri) if real_tiles is None else real_tiles
        self.patience_s = patience_s
        self.flush_interval_s = flush_interval_s
        self.kept_in = kept_in

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open connection behind: another process makes its own."""
        settings = ("uri", "experiment", "real_tiles", "patience_s", "flush_interval_s", "kept_in")
        return {name: value for name, value in self.__dict__.items() if name in settings}

    def __repr__(self) -> str:
        """Show the address without its password."""
        return f"Tracker({shown(self.uri)!r}, {self.experiment!r})"

    @functools.cached_property
    def experiment_id(self) -> str:
        """The experiment's id; the experiment is created where it is missing."""
        return self._outlast(self._open_experiment, f"experiment {self.experiment!r} could not be opened")

    def start_run(
        self,
        name: str,
        *,
        parent_run_id: str | None = None,
        key: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> TrackedRun:
        """Start a run, or continue the one with this ``key`` and parent.

        Args:
            name: The run's name; a continued run keeps its own.
            parent_run_id: The sweep's run, for a trial.
            key: Identifies a trial within its sweep (or a sweep within the experiment), so that a killed and resumed
                one is continued and not doubled. Letters, digits and ``_-./:=, ``. Unset: always a new run.
            params: Parameters; in a continued run, first values stay.
            tags: Tags, such as :func:`code_version_tags`; in a continued run, new values replace old ones.

        Raises:
            TrackingError: The server stayed away for ``patience_s``, or refused.
            ValueError: ``key`` holds other characters.
        """
        if key is not None and not _KEY_PATTERN.fullmatch(key):
            raise ValueError(f"key must be letters, digits and _-./:=, and space, at most 500, but got {key!r}")
        # A run without a key gets one too: where the server made it and the answer was lost, it is found again.
        all_tags = origin_tags() | dict(tags or {}) | {_KEY: key or uuid.uuid4().hex}
        if parent_run_id is not None:
            all_tags[_PARENT] = parent_run_id
        all_tags, run_name = _storable_tags(all_tags), storable(name, MAX_NAME_LENGTH)
        opened = self._outlast(lambda: self._open_run(run_name, all_tags), f"run {name!r} could not be started")
        run = TrackedRun(
            self._client, self.uri, opened, self.real_tiles, self.flush_interval_s, self.patience_s, self.kept_in
        )  # fmt: skip
        run.log_params(params or {})
        return run

    def conclude_run(
        self,
        parent_run_id: str,
        key: str,
        status: Status,
        tags: Mapping[str, str],
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        """Tag a child run whose process is gone, and give it its final status; when it ended stays as it was.

        Args:
            parent_run_id: Of the sweep.
            key: Of the child.
            status: How it ended.
            tags: New values replace old ones.
            metrics: What is known of it only now, of no round: their step is 0.

        Returns:
            The run's id. A child that never began gets a run, so that every trial has one.

        Raises:
            TrackingError: The server stayed away for ``patience_s``, or refused.
        """
        run = self._outlast(lambda: self._find_run(key, parent_run_id), f"run {key!r} could not be looked up")
        if run is None:
            begun = self.start_run(key, parent_run_id=parent_run_id, key=key, tags=tags)
            begun.log_figures(0, metrics or {})
            begun.finish(status)
            return begun.run_id
        run_id: str = run.info.run_id

        def conclude() -> None:
            from mlflow.entities import RunTag

            given = [RunTag(*tag) for tag in _storable_tags(tags).items()]
            self._client.log_batch(run_id, metrics=metric_entries(metrics or {}, 0), tags=given)
            if run.info.status != status:
                self._client.set_terminated(run_id, status, run.info.end_time)

        self._outlast(conclude, f"run {run_id} could not be set to {status}")
        return run_id

    def end_unfinished(self, parent_run_id: str, status: Status = "KILLED") -> list[str]:
        """End the child runs that are still RUNNING because their process died; return their ids."""

        def end() -> list[str]:
            query = f"tags.`{_PARENT}` = '{parent_run_id}' AND attributes.status = 'RUNNING'"
            runs = self._client.search_runs([self.experiment_id], query, max_results=50_000)
            for run in runs:
                self._client.set_terminated(run.info.run_id, status)
            return [run.info.run_id for run in runs]

        return self._outlast(end, f"the unfinished runs of {parent_run_id} could not be ended")

    def delete_other_children(self, parent_run_id: str, keys: Collection[str]) -> list[str]:
        """Delete the child runs whose key is none of ``keys``; return their ids.

        A driver that is killed while it creates a trial leaves a run behind whose trial nobody remembers. MLflow keeps
        deleted runs until its garbage collection, so that they can be brought back.
        """

        def delete() -> list[str]:
            query = f"tags.`{_PARENT}` = '{parent_run_id}'"
            children = self._client.search_runs([self.experiment_id], query, max_results=50_000)
            strangers = [run.info.run_id for run in children if run.data.tags.get(_KEY) not in keys]
            for run_id in strangers:
                self._client.delete_run(run_id)
            return strangers

        return self._outlast(delete, f"the forgotten runs of {parent_run_id} could not be deleted")

    def keep_views(self, name: str, runs: RunsView, pictures: RunsView | None = None) -> Pages:
        """Keep views of runs with the experiment, instead of those of the same name.

        Args:
            name: What they are of, for their address: letters, digits and ``-``.
            runs: Opened as a table, and as charts.
            pictures: Opened as charts.

        Returns:
            Their pages; none where no server runs.

        Raises:
            TrackingError: The server stayed away for ``patience_s``, or refused.
        """
        views = {OURS + name: runs} | ({OURS + name + PICTURES: pictures} if pictures else {})

        def keep() -> None:
            for key, view in views.items():
                self._client.set_experiment_tag(self.experiment_id, VIEW_TAG + key, view.tag())

        self._outlast(keep, f"the view {runs.name!r} could not be kept")
        return pages_of(self.uri, self.experiment_id, OURS + name, pictures is not None)

    def run_url(self, run_id: str) -> str | None:
        """Return the page of a run in the MLflow UI; None where no server runs."""
        return run_url(self.uri, self.experiment_id, run_id)

    @functools.cached_property
    def _client(self) -> "MlflowClient":
        from fedray.tracking.mlflow_client import connect

        if sqlite_path(self.uri) is not None:
            create_database(self.uri)
        return connect(self.uri)

    def _outlast(self, call: Callable[[], T], failure: str) -> T:
        return outlast(call, self.patience_s, failure, self.uri)

    def _open_experiment(self) -> str:
        found = self._find_experiment()
        if found is None:
            self._create_experiment()
            found = self._client.get_experiment_by_name(self.experiment)
            assert found is not None
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the experiment {self.experiment!r} at {shown(self.uri)} was deleted. Bring it back by "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`, "
                "or set tracking.experiment to a new name."
            )
        return str(found.experiment_id)

    def _find_experiment(self) -> Any:
        """Find the experiment, which another user may have made for themselves.

        Raises:
            TrackingError: It is another's. No login that waits for something: the server has answered this one before.
        """
        from fedray.tracking.mlflow_client import http_status

        try:
            return self._client.get_experiment_by_name(self.experiment)
        except Exception as error:
            if http_status(error) != 403:
                raise
            raise TrackingError(
                f"the server at {shown(self.uri)} forbids the request (403): the experiment {self.experiment!r} is not "
                "open to this login. Set tracking.experiment to a name of your own, or have its owner or an "
                "administrator grant it to you (mlflow/README.md)."
            ) from None

    def _create_experiment(self) -> None:
        from mlflow.exceptions import MlflowException

        database = sqlite_path(self.uri)
        # Beside the database: MLflow's default is a folder of the process's working directory.
        artifacts = database.resolve().parent / "mlartifacts" if database else None
        if artifacts is not None:
            private_folder(artifacts)  # it will hold generators, and pictures of real tiles
        location = artifacts.as_uri() if artifacts else None
        try:
            self._client.create_experiment(self.experiment, artifact_location=location, tags=_EXPERIMENT_TAGS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise

    def _open_run(self, name: str, tags: Mapping[str, str]) -> "Run":
        run = self._find_run(tags[_KEY], tags.get(_PARENT))
        if run is None:
            return self._client.create_run(self.experiment_id, tags=dict(tags), run_name=name)
        from mlflow.entities import RunTag

        self._client.update_run(run.info.run_id, status="RUNNING")
        self._client.log_batch(run.info.run_id, tags=[RunTag(*tag) for tag in tags.items()])
        return run

    def _find_run(self, key: str, parent_run_id: str | None) -> "Run | None":
        query = f"tags.`{_KEY}` = '{key}'"
        if parent_run_id is not None:
            query += f" AND tags.`{_PARENT}` = '{parent_run_id}'"
        found = self._client.search_runs([self.experiment_id], query, order_by=["attributes.start_time ASC"])
        return next((run for run in found if run.data.tags.get(_PARENT) == parent_run_id), None)


def _storable_tags(tags: Mapping[str, object]) -> dict[str, str]:
    return {mlflow_key(name): storable(str(value), _MAX_TAG_LENGTH) for name, value in tags.items()}


def origin_tags() -> dict[str, str]:
    """Return who runs what, in the tags that the UI shows as *User* and *Source*.

    Each run has those of its process. Where that is a worker's, which says nothing, hand it the job's.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL"}
