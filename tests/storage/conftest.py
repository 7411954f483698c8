"""What dies, or finds the disk full, at every place where it writes (see tests/support/dying.py)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedray.cli.options import run_job
from fedray.results.folder import KINDS
from fedray.storage import unsealed
from fedray.storage.lock import LOCK
from tests.support.dying import Moment, full_disk, left_by_dying, put_back

Job = Callable[[Path], object]


def contents(folder: Path) -> dict[str, object]:
    """Return all that lies in a folder, but for the key that every start draws anew, and a lock that nobody has."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name in [kind.identity for kind in KINDS]:
            found[name] = {**unsealed(path.read_bytes(), path), "key": ""}
        elif path.name != LOCK:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found


@pytest.fixture
def dies_everywhere(tmp_path: Path) -> Callable[[Job, Job], list[Moment]]:
    """Have a job die at each of its writes, and start it again: what comes of it is what came of it undisturbed.

    Returns:
        Given the job, and what lies in its folder before, when it died.
    """

    def die(job: Job, before: Job = lambda folder: None) -> list[Moment]:
        expected = _undisturbed(job, before, tmp_path)
        states = left_by_dying(job, _fresh(before, tmp_path), tmp_path / "states")
        for state in states:
            put_back(state, tmp_path / "work")
            job(tmp_path / "work")
            assert contents(tmp_path / "work") == expected, state.moment
        return [state.moment for state in states]

    return die


@pytest.fixture
def disk_is_full_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Job, Job], int]:
    """Fill the disk before each write of a job: it ends with one line, and goes on once there is room.

    Returns:
        Given the job, and what lies in its folder before, how often the disk was full.
    """
    monkeypatch.setattr("sys.argv", ["job"])

    def fill(job: Job, before: Job = lambda folder: None) -> int:
        expected = _undisturbed(job, before, tmp_path)
        for number in range(1000):
            folder = _fresh(before, tmp_path)
            with full_disk(folder, after=number):
                status = run_job(lambda argv, folder=folder: job(folder) and None)
            if status == 0:
                return number
            said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
            assert status == 2 and len(said) == 1, said
            assert "no space left on device" in said[0].lower(), said
            job(folder)
            assert contents(folder) == expected, number
        raise AssertionError("a small job has fewer writes")

    return fill


def _undisturbed(job: Job, before: Job, tmp_path: Path) -> dict[str, object]:
    folder = _fresh(before, tmp_path)
    job(folder)
    return contents(folder)


def _fresh(before: Job, tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before(folder)
    return folder
