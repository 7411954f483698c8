"""The pages of MLflow on which a sweep is looked at: its table, its charts, the pictures of its best trials."""

import logging
import time
from collections.abc import Sequence

from fedray.experiment import PICTURES
from fedray.sweep.space import SearchSpace
from fedray.tracking import (
    Pages,
    RunsView,
    Section,
    Tracker,
    TrackingError,
    parallel_coordinates,
    pictures,
    score_by_step,
)

_logger = logging.getLogger(__name__)

PICTURED_RUNS = 6
"""Trials, best first, whose pictures are shown beside each other."""


def keep_pages(space: SearchSpace, tracker: Tracker, parent_run_id: str, best: Sequence[str] = ()) -> Pages:
    """Keep the views of a sweep with its MLflow experiment, instead of those from before.

    A server that refuses them (or has gone) is told of, and costs the pages alone.

    Args:
        space: What is searched.
        tracker: Where to.
        parent_run_id: The sweep's run.
        best: Runs of complete trials, best first; none while the sweep runs.
    """
    try:
        return tracker.keep_views(
            parent_run_id, runs_view(space, parent_run_id), pictures_view(space, best) if best else None
        )
    except TrackingError as error:
        _logger.warning("%s", error)
        return {}


def runs_view(space: SearchSpace, parent_run_id: str) -> RunsView:
    """Show all trials, best score first, with what was searched; as charts, with the scores over parameters, rounds."""
    metric, params = space.goal.metric, list(space.search)
    charts = [parallel_coordinates(params, metric), score_by_step(metric)]
    return RunsView(
        name=f"sweep {space.name}, {_now()}",
        search=f"tags.`mlflow.parentRunId` = '{parent_run_id}'",
        metric=metric,
        ascending=space.goal.mode == "min",
        tags=["fedray.rank", "fedray.outcome"],
        params=params,
        sections=[Section("Score by parameter and by round", charts, columns=1, height=400)],
    )


def pictures_view(space: SearchSpace, best: Sequence[str]) -> RunsView:
    """Show what the best trials' generators make after the last round; the slider goes back to the untrained ones."""
    ids = ", ".join(f"'{run_id}'" for run_id in best[:PICTURED_RUNS])
    last = pictures(PICTURES, space.fixed.federation.num_rounds)
    return RunsView(
        name=f"sweep {space.name}, {_now()}: pictures",
        search=f"attributes.run_id IN ({ids})",
        metric=space.goal.metric,
        ascending=space.goal.mode != "min",  # the grid of pictures turns the order of the table round
        tags=["fedray.rank", "fedray.outcome"],
        params=list(space.search),
        sections=[Section("Tiles of the best trials", [last], columns=1, height=700)],
        charts_alone=True,
    )


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M")
