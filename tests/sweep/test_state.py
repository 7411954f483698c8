"""What is kept of a sweep's state is whole, and comes back wherever the sweep's results are."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from fedray.results import Place
from fedray.storage import SharedFolder, StorageError
from fedray.sweep.state import WHOLE_STATE, keep_state, put_state_back

FILES = {"experiment_state-now.json": b"[1]", "searcher-state-now.pkl": b"2" * 100_000}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "written"
    (folder / "a-trial").mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_it_comes_back_in_a_folder(written, tmp_path):
    place = Place(tmp_path / "out")
    state = Path(place.state)
    put_state_back(place)
    assert not state.exists(), "nothing was kept yet"
    keep_state(written, state)
    assert [path.name for path in state.iterdir()] == [WHOLE_STATE]
    assert [path.name for path in state.parent.iterdir()] == [state.name]
    (state / "searcher-state-now.pkl").write_bytes(b"2" * 10)
    (state / "experiment_state-later.json").write_bytes(b"[")  # a later driver was killed over its first state
    put_state_back(place)
    assert {path.name: path.read_bytes() for path in state.iterdir() if path.name != WHOLE_STATE} == FILES


def test_it_comes_back_on_shared_storage(written, tmp_path, bucket, monkeypatch):
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    place = Place(tmp_path / "here", SharedFolder(f"{bucket.uri}/sweep"))
    put_state_back(place)
    keep_state(written, written)  # among Tune's own files, which Tune uploads
    keep_state(written, written)
    state = SharedFolder(place.state)
    (written / "experiment_state-later.json").write_bytes(b"[")
    state.upload(written, [WHOLE_STATE, "experiment_state-later.json"])
    put_state_back(place)
    assert {name: state.read(name) for name in state.names() if name != WHOLE_STATE} == FILES


def test_a_write_that_fails_leaves_what_was_kept(written, tmp_path, monkeypatch):
    keep_state(written, tmp_path / "kept")
    before = (tmp_path / "kept" / WHOLE_STATE).read_bytes()

    def full(path, content):
        path.touch()
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        keep_state(written, tmp_path / "kept")
    assert (tmp_path / "kept" / WHOLE_STATE).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"written", "kept"}


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped"])
def test_an_archive_that_leads_out_of_its_folder_is_refused_whole(tmp_path, name):
    place = Place(tmp_path / "out")
    state = Path(place.state)
    state.mkdir(parents=True)
    with ZipFile(state / WHOLE_STATE, "w") as archive:
        archive.writestr("experiment_state-now.json", b"[1]")
        archive.writestr(name, b"of another's choosing")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match=r"leads out of it"):
        put_state_back(place)
    assert sorted(tmp_path.rglob("*")) == before
