"""The job as a user runs it: exit codes, one clear message, nothing half-written."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedray.data import TileStore
from fedray.data.pseudonyms import key_file
from tests.support.jobs import JOBS, Finished, Job
from tests.support.published import ham10000, tcga_crc_dx
from tests.support.small import WriteImages


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


def test_the_summary_counts_what_was_left_out_and_names_it_on_request(
    prepare_data: Job, write_images: WriteImages, tmp_path: Path
) -> None:
    folder = write_images({"adenoma": 6, "mucosa": 6})
    for junk in ("@eaDir/adenoma/0.png", "__MACOSX/adenoma/._0.png", "adenoma/Thumbs.db", "mucosa/.DS_Store"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).touch()
    (folder / "overview.png").touch()
    (folder / "metadata.csv").write_text("image,label\n")
    (folder / "mucosa" / "[bold]more.zip").write_bytes(b"PK")
    options = ("--images", folder, "--size", 16, "--out")
    short = prepare_data(*options, tmp_path / "short").output
    counted, _, about_names = (
        short.split("skipped images: 0\n")[1].split("train on it")[0].partition("note: the store ")
    )
    assert str(key_file()) in about_names
    assert counted == (
        "left out: 7 (--list-left-out names them)\n"
        "       4  left by an operating system, an editor or a tool, or hidden\n"
        "       1  a picture outside the label folders\n"
        "       1  a table: --csv imports the pictures that it names\n"
        "       1  an archive: unpack it to import what is in it\n"
        "note: 'metadata.csv' was not read; if it says which label, patient, site or split a picture has, import by "
        f"it: --csv {folder}/metadata.csv\n"
    )
    named = prepare_data(*options, tmp_path / "long", "--list-left-out").output
    listed = [line.strip() for line in named.splitlines() if line.startswith(" " * 10)]
    assert listed == [
        "@eaDir/", "__MACOSX/", "adenoma/Thumbs.db", "mucosa/.DS_Store", "overview.png", "metadata.csv",
        "mucosa/[bold]more.zip",
    ]  # fmt: skip
    assert "left out: nothing" in prepare_data(
        "--images", write_images({"a": 2}, root="clean"), "--size", 16, "--out", tmp_path / "clean-store"
    ).output  # fmt: skip


def test_a_published_data_set_says_what_it_found(prepare_data: Job, tmp_path: Path) -> None:
    tcga_crc_dx(tmp_path / "set")
    done = prepare_data(
        "--source", "tcga-crc-dx", "--images", tmp_path / "set", "--size", 16, "--out", tmp_path / "out"
    )
    assert done.status == 0, done.errors
    for line in (
        "│ train │        6 │   6 │  12 │",
        "balance of train: MSI-high 50.0%, MSS 50.0%",
        "domains: default; groups: 8 (4 in train, 4 in test)",
        "note: found CRC_DX_TEST_MSS/MSS: test, MSS, 6 tiles",
        "note: no patient or lesion is in both splits, of 4 in train and 4 in test",
    ):
        assert line in done.output.splitlines()


def test_a_published_data_set_is_offered_where_it_fails_as_ones_own(prepare_data: Job, tmp_path: Path) -> None:
    tcga_crc_dx(tmp_path / "tiles")
    ham10000(tmp_path / "skin")
    for argv, instead in (
        (["--images", tmp_path / "tiles"], f"tcga-crc-dx: --source tcga-crc-dx --images {tmp_path}/tiles"),
        (["--images", tmp_path / "skin"], f"ham10000: --source ham10000 --images {tmp_path}/skin"),
        (["--csv", tmp_path / "skin" / "HAM10000_metadata"], f"ham10000: --source ham10000 --images {tmp_path}/skin"),
    ):
        failed = prepare_data(*argv, "--size", 16, "--out", tmp_path / "store")
        assert failed.status == 2 and failed.errors.endswith(f"; it looks like {instead}\n"), failed.errors
    for argv in (["--images", tmp_path / "absent"], ["--images", tmp_path / "skin", "--out", tmp_path / "tiles"]):
        assert "it looks like" not in prepare_data("--size", 16, "--out", tmp_path / "store", *argv).errors


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "must come from one of --images DIR, .* but none is given"),
        (["--images", ".", "--medmnist", "x.npz"], "but --images and --medmnist are given"),
        (["--train", "."], "--train and --test go together"),
        (["--images", ".", "--columns", "label=dx"], "--columns says how a table is read, so it goes with --csv"),
        (["--images", ".", "--one-hot", "A,B"], "--one-hot says how a table is read"),
        (["--csv", "x.csv", "--domains"], "--domains and --levels say what folders are"),
        (["--images", ".", "--domains", "--levels", "domain/label"], "--domains is short for --levels domain/label"),
        (["--images", ".", "--levels", "patient/label"], "--levels must name the folder levels from the top down"),
        (
            ["--source", "ham10000"],
            "--source ham10000 reads the folder in which its archives were unpacked: --images DIR",
        ),
        (
            ["--source", "ham10000", "--csv", "x.csv"],
            "--source ham10000 reads the folder in which its archives were unpa",
        ),
        (["--source", "ham10000", "--images", ".", "--levels", "label"], "--levels does not go with --source"),
        (
            ["--source", "ham10000", "--images", ".", "--group-pattern", "x"],
            "--group-pattern does not go with --source",
        ),
        (["--source", "ham10000", "--images", ".", "--columns", "label=dx"], "--columns says how a table is read"),
        (["--source", "ham1000", "--images", "."], r"--source must be one of tcga-crc-dx, .*did you mean 'ham10000'"),
        (
            ["--source", "ham10000", "--images", "."],
            r"must hold the table HAM10000_metadata\.csv, but it holds no table",
        ),
        (["--images", ".", "--labels", "a"], "--labels must be pairs OLD=NEW,OLD=NEW"),
    ],
)
def test_sources_and_options_that_do_not_fit(
    prepare_data: Job, touch_label: None, argv: list[str], message: str, tmp_path: Path
) -> None:
    failed = prepare_data(*argv, "--size", 16, "--out", tmp_path / "store")
    assert (failed.status, failed.output) == (2, ""), failed
    assert failed.errors.startswith("error: ") and re.search(message, failed.errors), failed.errors
    assert not (tmp_path / "store").exists()


@pytest.fixture
def touch_label(folder: Path) -> None:
    """A label folder in the working folder."""
    (folder / "a").mkdir()
    (folder / "a" / "0.png").touch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_job_leaves_nothing(write_images: WriteImages, tmp_path: Path, number: signal.Signals) -> None:
    folder = write_images({"a": 2})
    csv = folder / "list.csv"
    for i in range(4_000):
        (folder / f"{i}.png").hardlink_to(folder / "a" / "0.png")
    csv.write_text("image,label\n" + "".join(f"{i}.png,a\n" for i in range(4_000)))
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
