"""The pages of MLflow on which a sweep is looked at: its table, its charts, the pictures of its best trials."""

import time
from collections.abc import Iterable, Sequence

from fedray.experiment import PICTURES
from fedray.experiment.pages import headlines, keep_views
from fedray.sweep.space import SearchSpace
from fedray.tracking import (
    Pages,
    RunsView,
    Section,
    Tracker,
    metric_column,
    parallel_coordinates,
    pictures,
    score_by_step,
)

RANK = "rank"
"""Metric of a trial's run: its row in the sweep's table, from 1. No tag: MLflow orders those as text."""

SCORE, ROUND = "score", "scored-round"
"""Metrics of a trial's run: the score by which it is judged, and the round of that. Scores show those of its last."""

PICTURED_RUNS = 6
"""Trials, best first, whose pictures are shown beside each other."""

_TAGS = ["fedray.outcome"]


def keep_pages(
    space: SearchSpace, scores: Iterable[str], tracker: Tracker, parent_run_id: str, best: Sequence[str] | None = None
) -> Pages:
    """Keep the views of a sweep with its MLflow experiment, instead of those from before.

    Args:
        space: What is searched.
        scores: Names of all scores that an evaluation gives.
        tracker: Where to.
        parent_run_id: The sweep's run.
        best: Runs of complete trials, best first; None while the sweep runs, and trials have no rank.
    """
    goal = space.goal.metric
    shown = [goal, *(name for name in headlines(scores).values() if name != goal)]
    runs = runs_view(space, shown, parent_run_id, ranked=best is not None)
    return keep_views(tracker, parent_run_id, runs, pictures_view(space, shown, best) if best else None)


def runs_view(space: SearchSpace, scores: Sequence[str], parent_run_id: str, *, ranked: bool) -> RunsView:
    """Show all trials with scores and what was searched; as charts, with the scores over parameters, rounds.

    They are in the order of the sweep's own table, and before there is one by the goal's score alone: that of a trial
    that was stopped after two rounds does not compare with that of one that ran them all.

    Args:
        space: What is searched.
        scores: Names of those that are columns, the goal's first.
        parent_run_id: The sweep's run.
        ranked: Whether trials have their rank.
    """
    goal, params = space.goal.metric, list(space.search)
    judged = [RANK, SCORE, ROUND] if ranked else [RANK]
    charts = [parallel_coordinates(params, SCORE if ranked else goal), score_by_step(goal)]
    return RunsView(
        name=f"sweep {space.name}, {_now()}",
        search=f"tags.`mlflow.parentRunId` = '{parent_run_id}'",
        order=metric_column(RANK if ranked else goal),
        ascending=ranked or space.goal.mode == "min",
        tags=_TAGS,
        metrics=[*judged, *scores],
        params=params,
        sections=[Section("Score by parameter and by round", charts, columns=1, height=400)],
    )


def pictures_view(space: SearchSpace, scores: Sequence[str], best: Sequence[str]) -> RunsView:
    """Show what the best trials' generators make after the last round; the slider goes back to the untrained ones."""
    ids = ", ".join(f"'{run_id}'" for run_id in best[:PICTURED_RUNS])
    last = pictures(PICTURES, space.fixed.federation.num_rounds)
    return RunsView(
        name=f"sweep {space.name}, {_now()}: pictures",
        search=f"attributes.run_id IN ({ids})",
        order=metric_column(RANK),
        ascending=False,  # the grid of pictures turns the order of the table round
        tags=_TAGS,
        metrics=[RANK, *scores],
        params=list(space.search),
        sections=[Section("Tiles of the best trials", [last], columns=1, height=700)],
        charts_alone=True,
    )


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M")
