"""What killed processes left behind goes; what others still write, and what is not ours, stays."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from fedray.storage import own_mark, remove_leftovers, scratch_folder
from fedray.storage.owners import _remove_left_scratch


def mark_of_a_dead_process() -> str:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return own_mark().replace(str(os.getpid()), str(ended.pid))


def test_what_a_killed_job_left_in_its_folder_goes_and_all_else_stays(tmp_path: Path) -> None:
    dead, elsewhere = mark_of_a_dead_process(), "0a1b2c3d-17"
    stays = [f"a.parquet.{own_mark()}.partial", f"b.{elsewhere}.partial", ".DS_Store", ".nfs0001", "results.parquet"]
    for name in [*stays, f"results.parquet.{dead}.partial", f"round-1.{dead}.partial/state.json"]:
        (tmp_path / "checkpoint" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkpoint" / name).write_text("half")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoint").iterdir()) == sorted(stays)


def test_copies_of_pictures_that_a_killed_job_left_go_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _remove_left_scratch.cache_clear()
    left, others = tmp_path / f"fedray-{mark_of_a_dead_process()}-x1", tmp_path / "somebody-else"
    for folder in (left, others):
        folder.mkdir()
        (folder / "samples.png").write_bytes(b"a picture")
    with scratch_folder() as mine:
        assert mine.stat().st_mode & 0o777 == 0o700
        assert sorted(tmp_path.iterdir()) == sorted([others, mine])
    assert list(tmp_path.iterdir()) == [others]
