"""The job as a user runs it: exit codes, one clear message, nothing half-written."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedray.data import TileStore

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "jobs" / "prepare_data.py")]
WriteImages = Callable[..., Path]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_a_store_and_its_table(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"adenoma": 6, "mucosa": 9})
    (folder / "mucosa" / "3.png").write_text("no image")
    done = run("--images", folder, "--size", 16, "--out", tmp_path / "store", "--on-error", "skip", "--test-share", 0.3)
    assert done.returncode == 0, done.stderr
    store = TileStore.open(tmp_path / "store")
    assert len(store) == 14 and store.fingerprint in done.stdout
    assert "adenoma" in done.stdout and "skipped images: 1" in done.stdout
    assert done.stderr.startswith("skipped: cannot decode the image") and "mucosa/3.png" in done.stderr
    assert f"--data {store.path}" in done.stdout


def test_an_error_is_one_message_with_status_2(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"a": 3})
    (folder / "a" / "1.png").write_text("no image")
    failed = run("--images", folder, "--size", 16, "--out", tmp_path / "store")
    assert failed.returncode == 2 and failed.stdout == ""
    assert failed.stderr.startswith("error: cannot decode the image") and failed.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_wrong_option_has_status_2(tmp_path: Path) -> None:
    failed = run("--images", tmp_path, "--size", 17, "--out", tmp_path / "store")
    assert failed.returncode == 2 and "size must be 16 to 1024 pixels, a multiple of 8, but got 17" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_job_leaves_nothing(write_images: WriteImages, tmp_path: Path, number: signal.Signals) -> None:
    folder = write_images({"a": 2})
    csv = folder / "list.csv"
    for i in range(20_000):
        (folder / f"{i}.png").hardlink_to(folder / "a" / "0.png")
    csv.write_text("image,label\n" + "".join(f"{i}.png,a\n" for i in range(20_000)))
    job = subprocess.Popen(
        [*COMMAND, "--csv", csv, "--size", "512", "--out", tmp_path / "store"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
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
