"""run_on_sites(config, grid) -> Result: one experiment over sites, on a server that has no tile."""

import time
from functools import partial
from logging import INFO

import numpy as np
from flwr.common.logger import log
from flwr.serverapp import Grid
from PIL import Image

from fedray.config import ExperimentConfig, load_config
from fedray.data import Census
from fedray.deployment.grid import SoonGrid
from fedray.deployment.run import SitesRun
from fedray.evaluation import Scores
from fedray.experiment.engines import RoundResult
from fedray.experiment.run import Result, run_rounds
from fedray.experiment.starting import start_tags
from fedray.experiment.telling import OnRound
from fedray.experiment.tracked import ABILITY, KIND, PICTURES, default_run_name, ended, log_model
from fedray.federation import AgreedGrid, FederationError, ask_sites, keep_newest, shared_arrays
from fedray.federation.sites import site_names
from fedray.results.basis import basis_of
from fedray.results.files import CHECKPOINT, RESULTS, SAMPLES
from fedray.results.folder import (
    EXPERIMENT,
    check_basis,
    check_folder,
    finish,
    is_started,
    open_folder,
    outcome_of,
    saved_as,
)
from fedray.results.pictures import BESIDE_OTHERS, WHOLE, draw_generated
from fedray.results.place import Place
from fedray.results.start import Start, opened_start, rests_on
from fedray.storage import picture_bytes, read_table, write_whole
from fedray.tasks import task_of
from fedray.tracking import TrackedRun, Tracker, check_tracking, code_version_tags

_LOOK_S = 1.0
"""Between two looks at who is connected, in seconds."""


def run_on_sites(
    config: ExperimentConfig, grid: Grid, *, out: str | Place, tracking_uri: str, on_round: OnRound
) -> Result:
    """Run one experiment over the sites of a grid, or go on with the one that was started in ``out``.

    Args:
        config: What to run; ``federation.num_clients`` sites take part.
        grid: Where the sites are.
        out: Place for the results.
        tracking_uri: Of MLflow.
        on_round: Told after every round.

    Raises:
        FederationError: Too few or too many sites are connected, their tiles do not go together, or too many failed.
        ConfigError: Another experiment is in ``out``, or this one cannot go on as it began.
        DivergedError: A loss exploded.
        TrackingError: The tracking server does not answer.
        InUseError: Another job runs in ``out``.
    """
    place = Place.at(out)
    with place.held():
        saved = saved_as(place, EXPERIMENT, load_config, ExperimentConfig) if is_started(place, EXPERIMENT) else None
        check_folder(place, EXPERIMENT, config, saved)
        if (outcome := outcome_of(place)) is not None:
            return _result(config, place, outcome["run_id"], outcome["scores"])
        start = opened_start(config.starts_from)
        wait_for_sites(grid, config)
        near = SoonGrid(grid)
        census = ask_sites(near, config, site_names(grid))
        basis = {**basis_of(config, census), **rests_on(start)}
        check_basis(place, EXPERIMENT, basis)
        _tell(census)
        check_tracking(tracking_uri)
        key = open_folder(place, EXPERIMENT, config, basis)
        run = SitesRun(config, AgreedGrid(near, census, key), census, start)
        return _run(run, census, start, place, Tracker(tracking_uri, config.tracking.experiment), key, on_round)


def wait_for_sites(grid: Grid, config: ExperimentConfig) -> None:
    """Wait until as many sites are connected as take part.

    Raises:
        FederationError: They are fewer after ``resources.start_timeout_s``, or more.
    """
    wanted, deadline = config.federation.num_clients, time.monotonic() + config.resources.start_timeout_s
    while len(names := site_names(grid)) < wanted and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    told = f"{len(names)} site(s) are connected ({', '.join(sorted(names.values())) or 'none'})"
    if len(names) < wanted:
        raise FederationError(
            f"{told} after {config.resources.start_timeout_s:g} s (resources.start_timeout_s), but "
            f"federation.num_clients is {wanted}: start `jobs/site.py run` at the others, or set it to those that take "
            "part"
        )
    if len(names) > wanted:
        raise FederationError(
            f"{told}, but federation.num_clients is {wanted}: set it to all that take part, or have the others end "
            "their `jobs/site.py run`"
        )


def _run(
    run: SitesRun, census: Census, start: Start | None, place: Place, tracker: Tracker, key: str, on_round: OnRound
) -> Result:
    run.load(place.folder / CHECKPOINT)
    keep_newest(place.folder / CHECKPOINT)  # a run that died may have left older ones
    with ended(_open(tracker, run.config, census, start, key)) as tracked:
        found = run_rounds(run, place, tracked, partial(_log_round, tracked, census), on_round)
        evaluation = found or (run.evaluate() if run.due else None)
        scores = evaluation.scores if evaluation else {}
        if evaluation is not None:
            title = f"{run.config.family.subject}, round {run.state.round_index}"
            picture = Image.fromarray(draw_generated(census, evaluation.preview.astype(np.uint8), title))
            write_whole(place.folder / SAMPLES, picture_bytes(picture))
            tracked.log_artifact(place.folder / SAMPLES)
        log_model(tracked, run.config, shared_arrays(run.state), census, run.state.round_index, scores, {})
        place.push()
    finish(place, {"scores": scores, "floor": {}, "quality": "", "run_id": tracked.run_id, "pages": {}})
    return _result(run.config, place, tracked.run_id, scores)


def _open(tracker: Tracker, config: ExperimentConfig, census: Census, start: Start | None, key: str) -> TrackedRun:
    """Start the run in MLflow, or continue it, and describe it."""
    tags = {
        "fedray.dataset": census.name,
        "fedray.dataset-fingerprint": census.fingerprint,
        "fedray.task": config.task,
        ABILITY: task_of(config).ABILITY,
        f"fedray.{config.family.TELLING[0]}": config.family.subject,
        "fedray.mode": config.federation.mode,
        KIND: "experiment",
        **code_version_tags(),
        **start_tags(start),
    }
    run = tracker.start_run(default_run_name(config, census), key=key, params={}, tags=tags)
    run.log_config(config)
    return run


def _log_round(run: TrackedRun, census: Census, result: RoundResult) -> None:
    """Log a round's figures, and what was sampled of it: no real tile is here to stand above."""
    round_index = result.report.round_index
    run.log_round(round_index, result.metrics)
    if result.evaluation is not None:
        tiles, title = result.evaluation.preview.astype(np.uint8), f"round {round_index}"
        whole, small = (draw_generated(census, tiles, title, bounds) for bounds in (WHOLE, BESIDE_OTHERS))
        run.log_image(whole, PICTURES, round_index, beside_others=small)


def _tell(census: Census) -> None:
    labels = ", ".join(f"{code} {name}" for code, name in enumerate(census.label_names))
    tiles = f"{sum(census.sizes)} training tiles of {census.shape.size} px"
    log(INFO, "%s sites have %s; labels: %s", len(census.sizes), tiles, labels)


def _result(config: ExperimentConfig, place: Place, run_id: str, scores: Scores) -> Result:
    return Result(config, scores, {}, read_table(place.folder / RESULTS), run_id, place.folder)
