"""The pages of MLflow on which experiments are looked at: a table, charts, and pictures beside each other."""

import logging
from collections.abc import Iterable

from fedray.config import ExperimentConfig
from fedray.data import TileStore
from fedray.evaluation import is_of_all_tiles
from fedray.experiment.judging import judging_of
from fedray.experiment.tracked import ABILITY, KIND, PICTURES
from fedray.tasks import task_of
from fedray.tracking import (
    START_TIME,
    Pages,
    RunsView,
    Section,
    Tracker,
    TrackingError,
    pictures,
    score_by_step,
)

_logger = logging.getLogger(__name__)

HEADLINES = {
    "KID": "kid/",
    "c2st": "c2st/",
    "cover": "coverage/",
    "bal.acc": "balanced-accuracy/",
    "F1": "macro-f1/",
    "AUROC": "auroc/",
}
"""Scores that are read together: short headings, and how their names begin."""

_COLUMNS = ("federation.mode", "federation.num_clients", "federation.num_rounds", "seed")
"""Parameters in the table, beside those of the task."""


def headlines(names: Iterable[str]) -> dict[str, str]:
    """Pick from the names of scores those that show an experiment at a glance, by their short headings.

    They are of all tiles; of several protocols the first counts, and ends of intervals are none.
    """
    of_all = [name for name in names if is_of_all_tiles(name)]
    found = {
        heading: next((name for name in of_all if name.startswith(beginning)), "")
        for heading, beginning in HEADLINES.items()
    }
    return {heading: name for heading, name in found.items() if name}


def keep_views(tracker: Tracker, name: str, runs: RunsView, in_pictures: RunsView | None = None) -> Pages:
    """Keep views as :meth:`fedray.tracking.Tracker.keep_views` does.

    A server that refuses them (or has gone) is told of, and costs the pages alone.
    """
    try:
        return tracker.keep_views(name, runs, in_pictures)
    except TrackingError as error:
        _logger.warning("the pages of MLflow open without a view: %s", error)
        return {}


def keep_experiment_pages(config: ExperimentConfig, store: TileStore, tracker: Tracker, run_id: str) -> Pages:
    """Keep the views of all experiments on these tiles that are judged alike, newest first; trials have their own.

    Args:
        config: Of the newest: its scores are columns, and pictures are shown as of its last round.
        store: The tiles.
        tracker: Where to.
        run_id: Of the newest.

    Returns:
        Their pages, after that of the newest itself; none where no server runs.
    """
    what, ability = judging_of(config).RUNS, task_of(config).ABILITY
    name = f"{what} on {store.name}"
    params = (*(f"{config.task}.{field}" for field in config.family.TELLING), *_COLUMNS)
    tags = {KIND: "experiment", ABILITY: ability, "fedray.dataset-fingerprint": store.fingerprint}
    search = " AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
    scores = list(headlines(judging_of(config).score_names(config, store)).values())
    last = pictures(PICTURES, config.federation.num_rounds)
    charts = Section("Scores by round", [score_by_step(score) for score in scores], len(scores), height=400)
    tiles = Section("Tiles", [last], columns=1, height=700)
    in_pictures = _view(f"{name}: pictures", search, scores, params, tiles, charts_alone=True)
    key = f"{what}-{store.fingerprint[:16]}"
    pages = keep_views(tracker, key, _view(name, search, scores, params, charts), in_pictures)
    its_own = tracker.run_url(run_id)
    return ({"run": its_own} if its_own else {}) | pages


def _view(
    name: str,
    search: str,
    scores: list[str],
    params: tuple[str, ...],
    section: Section,
    charts_alone: bool = False,
) -> RunsView:
    return RunsView(
        name=name,
        search=search,
        order=START_TIME,
        ascending=charts_alone,  # the grid of pictures turns the order of the table round
        metrics=scores,
        params=params,
        sections=[section],
        charts_alone=charts_alone,
    )
