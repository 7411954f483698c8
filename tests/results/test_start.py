"""What an experiment may start from opens alike from everywhere, or is refused in one sentence; no pickle is read."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fedray.data import write_store
from fedray.results.basis import START
from fedray.results.start import Start, StartError, absolute_start, opened_start, rests_on
from fedray.storage import SharedFolder, StorageError
from tests.support import classifiers
from tests.support.left import leave
from tests.support.small import random_tiles

NAMES = {"labels": json.dumps(["dark", "bright"]), "domains": json.dumps(["one"])}


@pytest.fixture(scope="module")
def left(new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left")
    store = write_store(folder / "store", random_tiles(), label_names=["dark", "bright"])
    return leave(classifiers.experiment(store, federation__num_rounds=1), folder / "run", new_database(folder))


def written(arrays, path, metadata=NAMES):
    save_file(arrays, path, metadata=metadata)
    return str(path)


def test_it_is_the_same_from_a_folder_an_address_mlflow_and_a_file(left, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", left.uri)
    shared = SharedFolder(f"{bucket.uri}/runs/first")
    shared.upload(left.folder, [path.relative_to(left.folder).as_posix() for path in left.folder.rglob("*.*")])
    domains = json.dumps(Start.open(str(left.folder)).domain_names)
    file = written(left.arrays, tmp_path / "own.safetensors", {**NAMES, "domains": domains})
    SharedFolder(f"{bucket.uri}/files").upload(tmp_path, ["own.safetensors"])
    places = [str(left.folder), shared.uri, left.run_id, file, f"{bucket.uri}/files/own.safetensors"]
    starts = [Start.open(place) for place in places]
    for start in starts:
        assert start.arrays.keys() == left.arrays.keys()
        for name, array in left.arrays.items():
            np.testing.assert_array_equal(start.arrays[name], array, err_msg=name)
    assert {start.label_names for start in starts} == {("dark", "bright")}
    assert len({start.digest for start in starts}) == 1 and len(starts[0].digest) == 32
    assert [start.run is None for start in starts] == [False, False, False, True, True]
    again = pickle.loads(pickle.dumps(starts[0]))
    assert again.digest == starts[0].digest and again.run.run_id == left.run_id


def test_what_is_taken_of_it_and_nothing_else_changes_its_digest(tmp_path):
    arrays = {"a.x": np.arange(4, dtype=np.float32), "a.y": np.zeros((2, 2), np.float32)}
    digest = Start("here", arrays, ("u", "v"), ("one",)).digest
    assert Start("elsewhere", dict(reversed(arrays.items())), ("u", "v"), ("one",)).digest == digest
    others = [
        Start("here", arrays, ("v", "u"), ("one",)),
        Start("here", arrays, ("u", "v"), None),
        Start("here", arrays | {"a.y": np.ones((2, 2), np.float32)}, ("u", "v"), ("one",)),
        Start("here", arrays | {"a.y": np.zeros((4, 1), np.float32)}, ("u", "v"), ("one",)),
        Start("here", arrays | {"a.x": arrays["a.x"].view(np.int32)}, ("u", "v"), ("one",)),
        Start("here", {"a.z": arrays["a.x"], "a.y": arrays["a.y"]}, ("u", "v"), ("one",)),
    ]
    assert len({digest, *(other.digest for other in others)}) == 7
    assert rests_on(others[0]) == {START: others[0].digest} and rests_on(opened_start(None)) == {}


def test_a_path_becomes_absolute_and_nothing_else_changes(left, tmp_path, monkeypatch):
    monkeypatch.chdir(left.folder.parent)
    assert absolute_start("run") == str(left.folder)
    for place in (None, "s3://bucket/run", "0" * 32, "nowhere"):
        assert absolute_start(place) == place


class Bomb:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def bomb(folder):
    torch.save({"a": Bomb()}, folder / "weights.pth")
    return folder / "weights.pth"


def halved(folder):
    path = Path(written({"a.x": np.zeros(4, np.float32)}, folder / "half.safetensors"))
    path.write_bytes(path.read_bytes()[:40])
    return path


def unfinished(folder, left):
    copy = Path(shutil.copytree(left.folder, folder / "copy"))
    (copy / "finished.json").unlink()
    return copy


def in_bfloat16(folder):
    from safetensors.torch import save_file as save_tensors

    save_tensors({"a.x": torch.zeros(2, dtype=torch.bfloat16)}, folder / "b.safetensors")
    return folder / "b.safetensors"


def of_nan(folder):
    return written({"a.x": np.full(2, np.nan, np.float32)}, folder / "nan.safetensors")


def saying(labels):
    return lambda folder: written({"a.x": np.zeros(2, np.float32)}, folder / "n.safetensors", {"labels": labels})


REFUSED = {
    "nothing there": (lambda folder: folder / "none", "is not there; give the results folder of a finished run"),
    "a pickle": (bomb, r"weights\.pth is a file of another kind; give the results folder"),
    "no file": (lambda folder: folder / "none.safetensors", r"cannot be read \(No such file"),
    "half a file": (halved, "cannot be read as safetensors of float32"),
    "numbers that NumPy has not": (in_bfloat16, "cannot be read as safetensors of float32 .*bfloat16"),
    "what diverged": (of_nan, r"is of a training that diverged: its arrays: a\.x is not finite"),
    "an empty folder": (lambda folder: folder, "starts_from: .* holds no experiment and no sweep"),
    "names that are no list": (saying('"dark"'), r"must say its labels as a JSON list of different names .*'\"dark\"'"),
    "names that are no JSON": (saying("dark, bright"), "must say its labels as a JSON list"),
    "a name that stands twice": (saying('["dark", "dark"]'), "must say its labels as a JSON list of different names"),
    "no name": (saying("[]"), "must say its labels as a JSON list of different names"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_started_from_is_refused(what, tmp_path):
    made, told = REFUSED[what]
    place = str(made(tmp_path))
    with pytest.raises(StartError, match=told) as refused:
        Start.open(place)
    assert place in str(refused.value) and "\n" not in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_what_is_not_finished_and_what_is_at_no_address_is_refused(left, bucket, tmp_path):
    with pytest.raises(StartError, match="is not finished; let its job go on with --resume"):
        Start.open(str(unfinished(tmp_path, left)))
    with pytest.raises(StorageError, match="cannot be read"):
        Start.open(f"{bucket.uri}/none.safetensors")
