"""The job as a user runs it: exit codes, one clear message, nothing half-written."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedray.data import TileStore
from tests.jobs.conftest import JOBS, Finished, Job
from tests.small import WriteImages


@pytest.fixture
def prepare_data(run: Callable[..., Finished]) -> Job:
    return lambda *arguments: run("prepare_data", *arguments)


def test_a_store_and_its_table(prepare_data: Job, write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"adenoma": 6, "mucosa": 9})
    (folder / "mucosa" / "3.png").write_text("no image")
    options = ("--size", 16, "--on-error", "skip", "--test-share", 0.3)
    done = prepare_data("--images", folder, "--out", tmp_path / "store", *options)
    assert done.status == 0, done.errors
    store = TileStore.open(tmp_path / "store")
    assert len(store) == 14 and store.fingerprint in done.output
    assert "adenoma" in done.output and "skipped images: 1" in done.output
    assert done.errors.startswith("skipped: cannot decode the image") and "mucosa/3.png" in done.errors
    assert f"--data {store.path}" in done.output


def test_an_error_is_one_message_with_status_2(prepare_data: Job, write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"a": 3})
    (folder / "a" / "1.png").write_text("no image")
    failed = prepare_data("--images", folder, "--size", 16, "--out", tmp_path / "store")
    assert failed.status == 2 and failed.output == ""
    assert failed.errors.startswith("error: cannot decode the image") and failed.errors.count("\n") == 1
    assert not (tmp_path / "store").exists() and not list(tmp_path.glob(".*"))


def test_a_wrong_option_has_status_2(prepare_data: Job, tmp_path: Path) -> None:
    failed = prepare_data("--images", tmp_path, "--size", 17, "--out", tmp_path / "store")
    assert failed.status == 2 and "size must be 16 to 1024 pixels, a multiple of 8, but got 17" in failed.errors
    assert "Traceback" not in failed.errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_job_leaves_nothing(write_images: WriteImages, tmp_path: Path, number: signal.Signals) -> None:
    folder = write_images({"a": 2})
    csv = folder / "list.csv"
    for i in range(20_000):
        (folder / f"{i}.png").hardlink_to(folder / "a" / "0.png")
    csv.write_text("image,label\n" + "".join(f"{i}.png,a\n" for i in range(20_000)))
    job = subprocess.Popen(
        [sys.executable, JOBS / "prepare_data.py", "--csv", csv, "--size", "512", "--out", tmp_path / "store"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that a shell runs in the background inherits an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    partial = tmp_path / ".store.partial" / "tiles.arrow"
    deadline = time.monotonic() + 60
    while not partial.exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    job.send_signal(number)
    _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (130, "stopped\n")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
