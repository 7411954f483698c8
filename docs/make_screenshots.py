"""Take the docs' pictures of the MLflow UI from a real sweep: python docs/make_screenshots.py --tracking-uri URI.

Needs Chromium and its driver (Debian: chromium, chromium-driver). The functions that open pages also serve
tests/mlflow_server/test_pages.py.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from fedray.tracking.address import compare_url, experiment_url, is_server, sqlite_path
from fedray.tracking.mlflow_client import connect
from fedray.tracking.ui import HOST, ui_arguments

DOCS = Path(__file__).parent
WAIT_S = 60.0  # for any one thing on a page; the first page loads 10 MB of scripts
_START_S = 120.0
_IMAGE_KEY = "samples"

CHROME_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--window-size=1600,1100",
    # Pages, extensions and Chromium itself reach this machine only, whatever they ask for.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip

# What a user has clicked away or chosen on the first visit: the assistant closed, "Model training" rather than "GenAI".
_SETTLED = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.workflowType_v1": '"machine_learning"',
}

_PLOT = "return document.querySelector('.js-plotly-plot')?.data?.[0] ?? null"
_AXES = f"{_PLOT.replace(' ?? null', '')}?.dimensions?.map(d => [d.label, Array.from(d.values)]) ?? null"


@contextlib.contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Start a headless Chromium with a fresh profile; it ends with the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    with tempfile.TemporaryDirectory(prefix="fedray-browser-", ignore_cleanup_errors=True) as profile:
        for flag in (*CHROME_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or "chromedriver"))
        try:
            yield driver
        finally:
            driver.quit()


@contextlib.contextmanager
def served(uri: str) -> Iterator[str]:
    """Serve the UI of a SQLite database on this machine, from a copy; a server's address is given back as it is."""
    if is_server(uri):
        yield uri
        return
    database = sqlite_path(uri)
    if database is None or not database.is_file():
        raise SystemExit(f"--tracking-uri must be sqlite:////PATH/mlflow.db or a server's address, but got {uri}")
    with tempfile.TemporaryDirectory(prefix="fedray-ui-") as folder:
        copy = Path(folder, "mlflow.db")
        with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as sink:
            source.backup(sink)
        environment = os.environ | {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WORKERS": "1",
        }
        with Path(folder, "log").open("wb") as log:
            port = _free_port()
            server = subprocess.Popen(
                ui_arguments(f"sqlite:///{copy}", port),
                cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                yield _answering(f"http://{HOST}:{port}", Path(folder, "log"))
            finally:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _answering(address: str, log: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{address}/health", timeout=1).ok:
                return address
        time.sleep(0.1)
    raise SystemExit(f"the MLflow UI did not start at {address}:\n{log.read_text()}")


def settle(driver: webdriver.Chrome, address: str, **more: str) -> None:
    """Choose in the UI what a first visit asks for; ``more`` are further entries of its local storage."""
    driver.get(f"{address}/static-files/favicon.ico")  # of the same origin, and runs no scripts
    for name, value in (_SETTLED | more).items():
        driver.execute_script("localStorage.setItem(arguments[0], arguments[1])", name, value)


def wait(driver: webdriver.Chrome, what: str, condition: Callable[[], Any]) -> Any:
    """Return what ``condition`` returns as soon as that is true."""
    return WebDriverWait(driver, WAIT_S, poll_frequency=0.1).until(lambda _: condition(), f"no {what} on the page")


def goto(driver: webdriver.Chrome, url: str) -> None:
    """Open a page from scratch: the UI would keep the old page's state where only the part after # changes."""
    driver.get("about:blank")
    driver.get(url)


def open_runs(
    driver: webdriver.Chrome, address: str, experiment_id: str, metric: str, params: Sequence[str], search: str
) -> list[str]:
    """Open the table of runs, best first, with the columns that matter for a sweep; return the scores as shown."""
    score, *others = (f"metrics.`{metric}`", *(f"params.`{name}`" for name in params), "tags.`fedray.outcome`")
    widths = {"attributes.`Run Name`": 190, "runDateAndNestInfo": 140, "duration": 80, score: 155}
    widths |= dict.fromkeys(others, 147)
    page = f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment_id}"]-ReactComponentState'
    state = {"selectedColumns": [score, *others], "columnOrder": list(widths), "columnWidths": widths}
    settle(driver, address, **{page: json.dumps(_searched(search, score) | state)})
    goto(driver, f"{experiment_url(address, experiment_id)}/runs")
    wait(driver, "outcome", lambda: _texts(driver, f"[col-id='{others[-1]}'].ag-cell"))
    return wait(driver, "run with its score", lambda: _texts(driver, f"[col-id='{score}'].ag-cell"))


def _searched(search: str, order_by: str) -> dict[str, Any]:
    return {"searchFilter": search, "orderByKey": order_by, "orderByAsc": True}


def open_compare(driver: webdriver.Chrome, url: str, params: Sequence[str]) -> dict[str, list[float]]:
    """Open the page that compares runs, and plot these parameters; return the values by axis as they are plotted.

    MLflow plots the first three parameters in which the runs differ, and their first metric.
    """
    goto(driver, url)
    plotted = wait(driver, "parallel coordinates plot", lambda: driver.execute_script(_AXES))
    for name in params:
        if name not in dict(plotted):
            _choose_parameter(driver, name)
            wait(driver, f"axis {name}", lambda name=name: name in dict(driver.execute_script(_AXES) or ()))
    return dict(driver.execute_script(_AXES))


def _choose_parameter(driver: webdriver.Chrome, name: str) -> None:
    panel = driver.find_element(By.CSS_SELECTOR, "[id$=content-parallel-coordinates-plot]")
    panel.find_element(By.CSS_SELECTOR, "input[role=combobox]").send_keys(name, Keys.ENTER, Keys.ESCAPE)


def open_scatter(driver: webdriver.Chrome, param: str, metric: str) -> list[tuple[str, float]]:
    """Turn the compare page to its scatter plot of a metric over a parameter; return the points."""
    wait(driver, "scatter tab", lambda: _first(driver, "[role=tab][id$=trigger-scatter-plot]")).click()
    for axis, name in (("x", param), ("y", metric)):
        wait(driver, f"{axis} axis", lambda axis=axis: _first(driver, f"#{axis}-axis-selector")).click()
        option = f"//*[@role='option'][normalize-space()='{name}']"
        wait(driver, name, lambda option=option: driver.find_elements(By.XPATH, option))[0].click()
    script = """
        const plot = document.querySelector('[id$=content-scatter-plot] .js-plotly-plot');
        const [x, y] = ['x', 'y'].map(axis => plot?.layout?.[axis + 'axis']?.title?.text);
        return x == arguments[0] && y == arguments[1] ? plot.data[0].x.map((x, i) => [x, plot.data[0].y[i]]) : null
    """
    return wait(driver, "scatter plot", lambda: driver.execute_script(script, param, metric))


def open_images(driver: webdriver.Chrome, url: str, key: str, step: int) -> list[WebElement]:
    """Open a run's (or an experiment's) charts, and of them the grid of images ``key`` of a step, in full size.

    The grid begins at step 0, and below each run's name it lists all its parameters: both are turned off here.
    """
    goto(driver, url)
    wait(driver, "search field", lambda: _first(driver, "input[placeholder*='metric charts']")).send_keys(key)
    wait(driver, f"image grid {key}", lambda: _cards(driver) == [key])
    menu = "[data-testid=experiment-view-compare-runs-card-menu]"
    wait(driver, "menu of the image grid", lambda: _first(driver, menu)).click()
    wait(driver, "menu entry", lambda: _first(driver, "[data-testid=experiment-view-compare-runs-card-edit]")).click()
    dialog = wait(driver, "dialog", lambda: _first(driver, "[role=dialog]"))
    _move_to(dialog.find_element(By.CSS_SELECTOR, "[role=slider]"), step)
    dialog.find_element(By.XPATH, ".//*[text()='Show run parameters']").click()
    dialog.find_element(By.CSS_SELECTOR, "[data-component-id$='footer.ok']").click()
    wait(driver, "closed dialog", lambda: _first(driver, "[role=dialog]") is None)
    wait(driver, "full-size button", lambda: _first(driver, "[data-component-id=fullscreen_button_chartcard]")).click()
    return wait(driver, "image in the grid", lambda: _loaded_images(driver))


def _move_to(slider: WebElement, step: int) -> None:
    """Press the arrow key until the slider, which goes from one logged step to the next, is there."""
    last = None
    while (now := slider.get_attribute("aria-valuenow")) not in (str(step), last):
        last = now
        slider.send_keys(Keys.ARROW_RIGHT)


def _cards(driver: webdriver.Chrome) -> list[str]:
    return _texts(driver, "[data-testid=experiment-view-compare-runs-card] h4")


def _loaded_images(driver: webdriver.Chrome) -> list[WebElement]:
    images = driver.find_elements(By.CSS_SELECTOR, "[role=dialog] img")
    return images if images and all(int(image.get_attribute("naturalWidth") or 0) for image in images) else []


def _first(driver: webdriver.Chrome, selector: str) -> WebElement | None:
    return next(iter(driver.find_elements(By.CSS_SELECTOR, selector)), None)


def _texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent).filter(t => t)"
    return driver.execute_script(script, selector)


def charts_url(address: str, sweep: "Sweep", search: str) -> str:
    """Return the page that draws the charts of all runs found, best first."""
    # The image grid turns the order round.
    query = _searched(search, f"metrics.`{sweep.metric}`") | {"orderByAsc": "false", "compareRunsMode": "CHART"}
    return f"{experiment_url(address, sweep.experiment_id)}/runs?{urlencode(query)}"


class Sweep:
    """The newest sweep of an experiment: its trials, best first, what was searched, and the score."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Read the sweep from MLflow."""
        client = connect(uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise SystemExit(f"there is no experiment {experiment!r} at {uri}")
        self.experiment_id = found.experiment_id
        runs = client.search_runs([self.experiment_id], order_by=["attributes.start_time DESC"], max_results=1000)
        parents = [run.data.tags["mlflow.parentRunId"] for run in runs if "mlflow.parentRunId" in run.data.tags]
        if not parents:
            raise SystemExit(f"the experiment {experiment!r} holds no sweep")
        (self.metric,) = client.get_run(parents[0]).data.metrics  # the parent has one, the best score
        trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0]]
        self.trials = sorted(trials, key=lambda run: run.data.metrics.get(self.metric, float("inf")))
        self.name = self.trials[0].data.tags["fedray.sweep"]
        values = {name: {run.data.params[name] for run in self.trials} for name in self.trials[0].data.params}
        self.last_round = max(m.step for m in client.get_metric_history(self.trials[0].info.run_id, self.metric))
        self.params = [name for name, different in values.items() if len(different) > 1]


def take(driver: webdriver.Chrome, path: Path) -> None:
    """Write the page as it is shown, with 256 colours, which keeps it below 200 kB."""
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size // 1000} kB")


def main() -> None:
    """Take the three pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tracking-uri", required=True, help="sqlite:////PATH/mlflow.db, or a server without a login")
    parser.add_argument("--experiment", default="fedray", help="its newest sweep is shown")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder for mlflow-{runs,compare,images}.png")
    options = parser.parse_args()
    with served(options.tracking_uri) as address, browser() as driver:
        sweep = Sweep(address, options.experiment)
        search = f"tags.`fedray.sweep` = '{sweep.name}' AND tags.`fedray.outcome` != 'failed'"
        driver.set_window_size(1600, 880)
        open_runs(driver, address, sweep.experiment_id, sweep.metric, sweep.params, search)
        take(driver, options.out / "mlflow-runs.png")
        run_ids = [run.info.run_id for run in sweep.trials]
        open_compare(driver, compare_url(address, sweep.experiment_id, run_ids) or "", sweep.params)
        take(driver, options.out / "mlflow-compare.png")
        driver.set_window_size(1600, 720)
        complete = f"tags.`fedray.sweep` = '{sweep.name}' AND tags.`fedray.outcome` = 'complete'"
        open_images(driver, charts_url(address, sweep, complete), _IMAGE_KEY, sweep.last_round)
        take(driver, options.out / "mlflow-images.png")


if __name__ == "__main__":
    main()
