"""Take the docs' pictures of the MLflow UI: python docs/make_screenshots.py --tracking-uri URI, after a sweep.

Its pages are opened by the addresses that `make ui` prints, and nothing is clicked.

Needs Chromium and its driver (Debian: chromium, chromium-driver). The functions that open pages also serve
tests/mlflow_server/test_pages.py.
"""

import argparse
import contextlib
import io
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

import requests
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from fedray.tracking.address import is_server, sqlite_path
from fedray.tracking.ui import HOST, first_pages, ui_arguments

DOCS = Path(__file__).parent
WAIT_S = 60.0  # for any one thing on a page; the first page loads 10 MB of scripts
_START_S = 120.0

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


def open_runs(driver: webdriver.Chrome, url: str, columns: Sequence[str]) -> list[list[str]]:
    """Open a table of runs; return the cells of these columns, row by row, as they stand on the page.

    Args:
        driver: The browser.
        url: Of the page.
        columns: As MLflow's UI calls them (``metrics.`fid```).
    """
    goto(driver, url)
    cells = [
        wait(driver, column, lambda column=column: _texts(driver, f'[col-id="{column}"].ag-cell')) for column in columns
    ]
    return [list(row) for row in zip(*cells, strict=True)]


def open_charts(driver: webdriver.Chrome, url: str, axes: Sequence[str]) -> WebElement:
    """Open charts of runs; return the first, which has these axes."""
    goto(driver, url)
    wait(driver, "axis", lambda: set(axes) <= set(_texts(driver, "svg text")))
    card = "[data-testid=experiment-view-compare-runs-card]"
    return wait(driver, "chart", lambda: _first(driver, card))


def open_images(driver: webdriver.Chrome, url: str, num: int = 1) -> list[WebElement]:
    """Open a grid of pictures; return them in their order as soon as there are ``num``: they come one by one."""
    goto(driver, url)
    return wait(driver, f"{num} pictures in the grid", lambda: _loaded_images(driver, num))


def _first(driver: webdriver.Chrome, selector: str) -> WebElement | None:
    return next(iter(driver.find_elements(By.CSS_SELECTOR, selector)), None)


def _loaded_images(driver: webdriver.Chrome, num: int) -> list[WebElement]:
    images = driver.find_elements(By.CSS_SELECTOR, "[data-testid=experiment-view-compare-runs-card] img")
    loaded = all(int(image.get_attribute("naturalWidth") or 0) for image in images)
    return images if len(images) >= num and loaded else []


def _texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent).filter(t => t)"
    return driver.execute_script(script, selector)


def take(driver: webdriver.Chrome, path: Path) -> None:
    """Write the page as it is shown, with 256 colours, which keeps it below 200 kB."""
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size // 1000} kB")


def main() -> None:
    """Take the three pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tracking-uri", required=True, help="sqlite:////PATH/mlflow.db, or a server without a login")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder for mlflow-{runs,compare,images}.png")
    options = parser.parse_args()
    with served(options.tracking_uri) as address, browser() as driver:
        settle(driver, address)
        pages = dict(page.split(": ", 1) for page in first_pages(options.tracking_uri, address) if ": " in page)
        if "pictures" not in pages:
            raise SystemExit(f"there is no finished sweep at {options.tracking_uri}")
        driver.set_window_size(1600, 880)
        open_runs(driver, pages["runs"], ["tags.`fedray.outcome`"])
        take(driver, options.out / "mlflow-runs.png")
        driver.set_window_size(1600, 1100)
        open_charts(driver, pages["charts"], [])
        wait(driver, "chart over the rounds", lambda: _first(driver, ".js-plotly-plot"))
        take(driver, options.out / "mlflow-compare.png")
        open_images(driver, pages["pictures"])
        take(driver, options.out / "mlflow-images.png")


if __name__ == "__main__":
    main()
