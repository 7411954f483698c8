"""The pages of MLflow's UI on which a sweep is looked at, in a real browser."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.remote.webelement import WebElement

from docs.make_screenshots import browser, open_charts, open_images, open_runs, served
from fedray.sweep import load_space
from fedray.sweep.pages import PICTURED_RUNS, ROUND, SCORE, keep_pages
from fedray.tracking import Pages, Tracker
from fedray.tracking.ui import first_pages
from tests.support.servers import missing
from tests.support.small import NewDatabase

METRIC = "fid/efficientnet-lite0/256"
SCORES = [METRIC, "kid/efficientnet-lite0/256", "c2st/texture/256", "c2st-high/texture/256"]
ROUNDS = 2
COMPLETE = 6
"""Trials that ran all rounds; the others were stopped after the first, with better scores."""
TRIALS = {
    f"trial-{i}": {
        "gan.n_critic": 1 + i % 5,
        "gan.gradient_penalty": 0.1 * 2**i,
        "gan.generator_lr": 1e-4 * (i + 1),
        "gan.discriminator_lr": 4e-4 / (i + 1),
    }
    for i in range(8)
}
SEARCHED = list(next(iter(TRIALS.values())))
FIXED = {"data.num_domains": 1, "federation.num_clients": 4, "gan.objective": "wgan-gp", "seed": 0}


@dataclass
class Logged:
    """A sweep in MLflow: its pages, and a browser that has never been there."""

    pages: Pages
    driver: Any


@pytest.fixture(scope="module")
def logged(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            missing(program, package)
    uri = new_database(tmp_path_factory.mktemp("pages"))
    log_sweep(Tracker(uri, "fedray"))
    with served(uri) as address, browser() as driver:
        driver.set_window_size(1920, 1300)
        pages = dict(page.split(": ", 1) for page in first_pages(uri, address))
        yield Logged(pages, driver)


def log_sweep(tracker: Tracker) -> None:
    """Log a sweep as fedray.sweep does: its run, then a child for each trial, the worst first; then its views."""
    parent = tracker.start_run("sweep wgan-gp", params=FIXED, tags={"fedray.sweep": "wgan-gp"})
    runs: list[str] = []
    for rank, (name, params) in reversed(list(enumerate(TRIALS.items(), start=1))):
        complete = rank <= COMPLETE
        run = tracker.start_run(f"wgan-gp {name}", parent_run_id=parent.run_id, key=name, params=FIXED | params)
        for round_index in range(ROUNDS + complete):
            if round_index:
                run.log_round(round_index, dict.fromkeys(SCORES, score(rank, round_index)) | {"round-seconds": 1.5})
            colour = (200 if round_index == ROUNDS else 0, 20 * rank, 0)
            run.log_image(np.full((40, 300, 3), colour, np.uint8), "samples", step=round_index)
        run.finish("FINISHED")
        tags = {"fedray.sweep": "wgan-gp", "fedray.outcome": outcome(rank)}
        judged = {"rank": float(rank), SCORE: score(rank, ROUNDS), ROUND: float(ROUNDS)}
        runs.insert(0, tracker.conclude_run(parent.run_id, name, "FINISHED", tags, judged))
    parent.finish("FINISHED")
    space = load_space(Path(__file__).parents[2] / "search_spaces" / "wgan_gp.yaml")
    federation = space.fixed.federation.model_copy(update={"num_rounds": ROUNDS})
    goal = space.goal.model_copy(update={"metric": METRIC})
    fixed = space.fixed.model_copy(update={"federation": federation})
    space = space.model_copy(update={"goals": (goal,), "fixed": fixed, "search": dict.fromkeys(SEARCHED)})
    keep_pages(space, SCORES, tracker, parent.run_id, runs[:COMPLETE])


def score(rank: int, round_index: int) -> float:
    return 100.0 * rank / round_index if rank <= COMPLETE else rank


def outcome(rank: int) -> str:
    return "complete" if rank <= COMPLETE else "pruned"


def test_the_table_opens_with_outcome_rank_scores_and_what_was_searched_as_the_sweep_ranks_them(logged: Logged) -> None:
    """On the first visit: MLflow's assistant takes a quarter of the page, until it is closed.

    Scores of a trial that was stopped early are better here than those of any that ran all rounds.
    """
    columns = ["tags.`fedray.outcome`", *(f"metrics.`{name}`" for name in ["rank", *SCORES[:3]])]
    columns += [f"params.`{name}`" for name in SEARCHED[:1]]
    rows = open_runs(logged.driver, logged.pages["runs"], columns)
    assert rows == [
        [outcome(rank), str(rank), *[f"{score(rank, ROUNDS):g}"] * 3, *(str(params[name]) for name in SEARCHED[:1])]
        for rank, params in enumerate(TRIALS.values(), start=1)
    ]
    heads = {head.get_attribute("col-id") for head in logged.driver.find_elements("css selector", ".ag-header-cell")}
    assert not any("c2st-high" in str(head) for head in heads)


def coloured_pixels(element: WebElement) -> int:
    """Count what is really drawn: plots go through WebGL, and no element stands for a line or a point."""
    pixels = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)
    return int((pixels.max(axis=2) - pixels.min(axis=2) > 60).sum())


def test_the_charts_open_with_all_trials_over_what_was_searched(logged: Logged) -> None:
    chart = open_charts(logged.driver, logged.pages["charts"], [*SEARCHED, SCORE])
    assert coloured_pixels(chart) > 8 * 200  # the lines; axes and titles are grey


def test_the_pictures_open_at_the_last_round_best_first_in_their_own_size(logged: Logged) -> None:
    images = open_images(logged.driver, logged.pages["pictures"], PICTURED_RUNS)
    assert len(images) == PICTURED_RUNS == COMPLETE
    assert {image.get_property("naturalWidth") for image in images} == {300}
    first = np.asarray(Image.open(io.BytesIO(images[0].screenshot_as_png)).convert("RGB"))
    assert tuple(first[first.shape[0] // 2, first.shape[1] // 2]) == (200, 20, 0)
