"""What is kept of a sweep's state is whole, and comes back wherever the sweep's results are."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from fedray.results import Place
from fedray.storage import SharedFolder, StorageError
from fedray.sweep.signature import SignatureError
from fedray.sweep.state import WHOLE_STATE, check_state, keep_state, put_state_back, trust_state

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


PICKLES = ["tuner.pkl", "searcher-state-later.pkl", "a-trial/error.pkl", "a-trial/checkpoint_0/_dict_checkpoint.pkl"]
KEPT = ["a-trial/error.txt", "a-trial/checkpoint_0/federation/round-1.safetensors", ".nfs0001"]


def with_strangers(folder: Path) -> None:
    for name in PICKLES + KEPT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")


def test_pickles_that_were_not_signed_go_unread(written, tmp_path):
    place = Place(tmp_path / "out")
    state = Path(place.state)
    with_strangers(state)
    assert not put_state_back(place)  # a driver was killed before it kept anything, or somebody put them there
    assert {path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()} == set(KEPT)
    keep_state(written, state)
    with_strangers(state)
    assert put_state_back(place)
    left = {path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()}
    assert left == {*KEPT, *FILES, WHOLE_STATE}


def test_pickles_that_were_not_signed_go_unread_on_shared_storage(written, tmp_path):
    (tmp_path / "shared").mkdir()
    place = Place(tmp_path / "here", SharedFolder(f"file://{tmp_path}/shared"))
    state = SharedFolder(place.state)
    keep_state(written, written)
    with_strangers(written)
    state.upload(written, [WHOLE_STATE, *PICKLES, *KEPT])
    put_state_back(place)
    assert set(state.names()) == {*KEPT, *FILES, WHOLE_STATE}


def test_a_state_of_another_key_is_refused_and_stays_as_it_is_until_it_is_trusted(written, tmp_path, monkeypatch):
    place = Place(tmp_path / "out")
    check_state(place)
    trust_state(place)
    assert not Path(place.state).exists(), "there is nothing to trust"
    keep_state(written, Path(place.state))
    check_state(place)
    monkeypatch.setenv("FEDRAY_SIGNING_KEY", "somebody else's key, of 32 bytes")
    with_strangers(Path(place.state))
    before = {path: path.read_bytes() for path in Path(place.state).rglob("*") if path.is_file()}
    for go_on in (check_state, put_state_back):
        with pytest.raises(SignatureError, match=r"out was signed with another key than yours.* --trust"):
            go_on(place)
    assert {path: path.read_bytes() for path in Path(place.state).rglob("*") if path.is_file()} == before
    trust_state(place)
    put_state_back(place)
    assert {name: (Path(place.state) / name).read_bytes() for name in FILES} == FILES


def test_a_state_from_before_there_were_signatures_can_be_trusted_on_shared_storage(written, tmp_path):
    (tmp_path / "shared").mkdir()
    place = Place(tmp_path / "here", SharedFolder(f"file://{tmp_path}/shared"))
    with ZipFile(written / WHOLE_STATE, "w") as archive:
        for name in FILES:
            archive.write(written / name, name)
    SharedFolder(place.state).upload(written, [WHOLE_STATE])
    with pytest.raises(SignatureError, match="is not signed"):
        put_state_back(place)
    trust_state(place)
    put_state_back(place)
    assert set(SharedFolder(place.state).names()) == {*FILES, WHOLE_STATE}


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
    trust_state(place)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match=r"leads out of it"):
        put_state_back(place)
    assert sorted(tmp_path.rglob("*")) == before
