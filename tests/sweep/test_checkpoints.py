"""Checkpoints of trials that will never go on are deleted: as they end, or with the sweep on shared storage."""

from types import SimpleNamespace

import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from fedray.results import Place
from fedray.sweep.checkpoints import DropCheckpoints, drop_checkpoints

ENDED = {"pruned": {"completed": False}, "failed": {"diverged": "a loss", "completed": False}, "error": None}
KEPT = {"complete": {"completed": True}}
RUNNING = {"running": {"completed": False}}


@pytest.fixture
def folders(tmp_path):
    for name in (*ENDED, *KEPT, *RUNNING):
        (tmp_path / name / "checkpoint_000003" / "federation").mkdir(parents=True)
        (tmp_path / name / "checkpoint_000003" / "federation" / "clients.safetensors").write_bytes(b"moments")
        (tmp_path / name / "error.txt").touch()
    return tmp_path


def left(folders):
    return {path.name for path in folders.iterdir() if (path / "checkpoint_000003").exists()}


def trial(folders, name, result, files):
    storage = SimpleNamespace(storage_filesystem=files, trial_fs_path=str(folders / name))
    return SimpleNamespace(trial_id=name, is_finished=lambda: name not in RUNNING, last_result=result, storage=storage)


def test_they_go_as_soon_as_their_trial_has_ended(folders):
    callback, files = DropCheckpoints(), LocalFileSystem()
    trials = [trial(folders, name, result, files) for name, result in {**ENDED, **KEPT, **RUNNING}.items()]
    for _ in range(2):
        callback.on_step_end(1, trials)
        assert left(folders) == {"complete", "running"}
        assert len(list(folders.glob("*/error.txt"))) == 5


def test_on_shared_storage_they_wait_for_the_end_of_the_sweep(folders):
    shared = SubTreeFileSystem("/", LocalFileSystem())
    assert shared.type_name != "local"
    trials = [trial(folders, name, result, shared) for name, result in ENDED.items()]
    DropCheckpoints().on_step_end(1, trials)
    assert left(folders) == {*ENDED, *KEPT, *RUNNING}
    results = {**ENDED, **KEPT}.items()
    drop_checkpoints(
        [SimpleNamespace(metrics=result, filesystem=shared, path=str(folders / name)) for name, result in results]
    )
    assert left(folders) == {"complete", "running"}


def test_a_place_says_its_size(folders, bucket, tmp_path, monkeypatch):
    assert Place.at(folders).num_bytes() == 5 * len(b"moments")
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "head"))
    place = Place.at(f"{bucket.uri}/runs/first")
    (place.folder / "tune").mkdir(parents=True)
    (place.folder / "tune" / "state").write_bytes(b"123")
    place.push()
    assert Place.at(f"{bucket.uri}/runs/first").num_bytes() == 3
