"""The pages of MLflow's UI on which a sweep is looked at, in a real browser."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.remote.webelement import WebElement

from docs.make_screenshots import (
    Sweep,
    browser,
    charts_url,
    open_compare,
    open_images,
    open_runs,
    open_scatter,
    served,
    settle,
)
from fedray.tracking import Tracker
from tests.mlflow_server.servers import missing
from tests.small import NewDatabase

METRIC = "fid/efficientnet-lite0/256"
ROUNDS = 2
TRIALS = {
    f"trial-{i}": {
        "gan.n_critic": 1 + i % 5,
        "gan.gradient_penalty": 0.1 * 2**i,
        "gan.generator_lr": 1e-4 * (i + 1),
        "gan.discriminator_lr": 4e-4 / (i + 1),
    }
    for i in range(8)
}
FIXED = {"data.num_domains": 1, "federation.num_clients": 4, "gan.objective": "wgan-gp", "seed": 0}


@dataclass
class Logged:
    """A sweep in MLflow: the UI's address and a browser on it."""

    tracker: Tracker
    sweep: Sweep
    driver: Any


@pytest.fixture(scope="module")
def logged(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            missing(program, package)
    uri = new_database(tmp_path_factory.mktemp("pages"))
    log_sweep(Tracker(uri, "fedray"))
    with served(uri) as address, browser() as driver:
        settle(driver, address)
        yield Logged(Tracker(address, "fedray"), Sweep(address, "fedray"), driver)


def log_sweep(tracker: Tracker) -> None:
    """Log a sweep as fedray.sweep does: its run, then a child for each trial."""
    parent = tracker.start_run("sweep wgan-gp", params=FIXED, tags={"fedray.sweep": "wgan-gp"})
    for rank, (name, params) in enumerate(TRIALS.items(), start=1):
        tags = {"fedray.sweep": "wgan-gp", "fedray.outcome": "complete", "fedray.rank": str(rank)}
        run = tracker.start_run(
            f"wgan-gp {name}", parent_run_id=parent.run_id, key=name, params=FIXED | params, tags=tags
        )
        for round_index in range(1, ROUNDS + 1):
            run.log_round(round_index, {METRIC: score(rank, round_index), "round/clients": 4.0, "round-seconds": 1.5})
            run.log_image(np.full((16, 64, 3), (200, 20 * rank, 0), np.uint8), "samples", step=round_index)
        run.finish("FINISHED")
    parent.log_round(ROUNDS, {METRIC: score(1, ROUNDS)})
    parent.finish("FINISHED")


def score(rank: int, round_index: int) -> float:
    return 100.0 * rank / round_index


def test_the_table_shows_the_trials_best_first(logged: Logged) -> None:
    search = "tags.`fedray.outcome` = 'complete'"
    tracker, sweep = logged.tracker, logged.sweep
    scores = open_runs(logged.driver, tracker.uri, tracker.experiment_id, METRIC, sweep.params, search)
    assert [float(shown) for shown in scores] == [pytest.approx(score(rank, ROUNDS)) for rank in range(1, 9)]


def plot(logged: Logged) -> WebElement:
    """Return the plot that is shown; that of the other tab stays hidden."""
    plots = logged.driver.find_elements("css selector", ".js-plotly-plot")
    return next(element for element in plots if element.is_displayed())


def coloured_pixels(element: WebElement) -> int:
    """Count what is really drawn: plots go through WebGL, and no element stands for a line or a point."""
    pixels = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)
    return int((pixels.max(axis=2) - pixels.min(axis=2) > 60).sum())


def test_the_compare_link_plots_all_trials_over_what_was_searched(logged: Logged) -> None:
    sweep = logged.sweep
    assert (sweep.name, sweep.metric) == ("wgan-gp", METRIC)
    assert sorted(sweep.params) == sorted(next(iter(TRIALS.values())))
    url = logged.tracker.compare_url([run.info.run_id for run in sweep.trials])
    axes = open_compare(logged.driver, url, sweep.params)
    expected = {name: [params[name] for params in TRIALS.values()] for name in sweep.params}
    expected[METRIC] = [score(rank, ROUNDS) for rank in range(1, 9)]
    assert axes == {name: pytest.approx(values) for name, values in expected.items()}
    titles = [title.text for title in logged.driver.find_elements("css selector", "svg .axis-title")]
    assert sorted(titles) == sorted(expected)
    assert "Comparing 8 Runs" in logged.driver.page_source
    assert coloured_pixels(plot(logged)) > 8 * 200  # the lines; axes and titles are grey

    points = open_scatter(logged.driver, "gan.n_critic", METRIC)
    assert [(float(x), y) for x, y in points] == [
        (params["gan.n_critic"], pytest.approx(score(rank, ROUNDS)))
        for rank, params in enumerate(TRIALS.values(), start=1)
    ]
    assert coloured_pixels(plot(logged)) > 8 * 30


def test_a_runs_page_shows_its_images(logged: Logged) -> None:
    best = logged.sweep.trials[0].info.run_id
    images = open_images(logged.driver, f"{logged.tracker.run_url(best)}/model-metrics", "samples", ROUNDS)
    assert len(images) == 1 and coloured_pixels(images[0]) > 1000


def test_the_charts_show_the_images_of_all_trials_side_by_side(logged: Logged) -> None:
    assert logged.sweep.last_round == ROUNDS
    url = charts_url(logged.tracker.uri, logged.sweep, "tags.`fedray.outcome` = 'complete'")
    assert len(open_images(logged.driver, url, "samples", ROUNDS)) == len(TRIALS)
