"""MLflow runs that survive a server that is away: one parent a sweep, one child a trial, one step a round."""

from fedray.tracking.address import (
    is_own,
    resolve_tracking_uri,
    run_url,
    ui_command,
)
from fedray.tracking.check import check_tracking, look_at_tracking
from fedray.tracking.errors import TrackingError, shown
from fedray.tracking.kept import UNSENT, Sent, is_kept, send_kept
from fedray.tracking.names import mlflow_key, name_of_key
from fedray.tracking.recorded import RecordedRun, recorded_run
from fedray.tracking.run import Status, TrackedRun
from fedray.tracking.tracker import Tracker, origin_tags
from fedray.tracking.versions import code_version_tags, code_versions
from fedray.tracking.view import (
    START_TIME,
    Pages,
    RunsView,
    Section,
    metric_column,
    parallel_coordinates,
    pictures,
    score_by_step,
)

__all__ = [
    "START_TIME",
    "UNSENT",
    "Pages",
    "RecordedRun",
    "RunsView",
    "Section",
    "Sent",
    "Status",
    "TrackedRun",
    "Tracker",
    "TrackingError",
    "check_tracking",
    "code_version_tags",
    "code_versions",
    "is_kept",
    "is_own",
    "look_at_tracking",
    "metric_column",
    "mlflow_key",
    "name_of_key",
    "origin_tags",
    "parallel_coordinates",
    "pictures",
    "recorded_run",
    "resolve_tracking_uri",
    "run_url",
    "score_by_step",
    "send_kept",
    "shown",
    "ui_command",
]
