"""What a run left opens again from a folder, an address and MLflow alike, or is refused by one sentence."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from fedray.config import ConfigError, load_config, save_config
from fedray.data import local_store, store_shape, write_store
from fedray.federation import load_checkpoint, shared_arrays
from fedray.randomness import torch_stream
from fedray.results.basis import FORMAT
from fedray.results.files import ARRAYS, FINISHED, RESULTS
from fedray.results.finished import Finished, ResultsError, log_ending
from fedray.results.folder import EXPERIMENT
from fedray.storage import SharedFolder
from fedray.tasks import task_of
from fedray.tracking import Tracker, TrackingError
from tests.support import classifiers
from tests.support.left import FLOOR, SCORES, leave
from tests.support.rewriting import rewrite
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two labels and two domains."""
    path = tmp_path_factory.mktemp("stores") / "domains"
    return write_store(path, random_tiles(), label_names=["Ki67<14%", "ß"], domain_names=["scanner [a]", "b//c"])


@pytest.fixture(scope="module")
def left(store, small_config, new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left")
    config = small_config(data__store=str(store.path), gan__generator="residual")
    return leave(config, folder / "run", new_database(folder))


@pytest.fixture
def copy(left, tmp_path):
    """The folder, to be damaged."""
    return Path(shutil.copytree(left.folder, tmp_path / "copy"))


def opened(place, left, request):
    """Open a run from one of the places that it can be opened from."""
    if place == "folder":
        return Finished.open(left.folder)
    if place == "MLflow":
        return Finished.open(left.run_id, left.uri)
    bucket = request.getfixturevalue("bucket")
    shared = SharedFolder(f"{bucket.uri}/runs/first")
    shared.upload(left.folder, [path.relative_to(left.folder).as_posix() for path in left.folder.rglob("*.*")])
    found = Finished.open(shared.uri)
    assert bucket.count_reads("server.safetensors") == 1
    assert bucket.count_reads("clients.safetensors") == bucket.count_reads("config.yaml") == 0, "as little as is needed"
    assert not (request.getfixturevalue("tmp_path") / "this machine").exists(), "a job's own copy is its own"
    return found


@pytest.mark.parametrize("place", ["folder", "address", "MLflow"])
def test_all_of_it_opens_again_alike_from_everywhere(place, left, store, request):
    found = opened(place, left, request)
    assert (found.kind, found.config, found.rounds) == ("experiment", left.config, 2)
    assert (found.scores, found.floor, found.run_id) == (SCORES, FLOOR, left.run_id)
    assert (found.tiles.fingerprint, found.tiles.shape) == (store.fingerprint, store_shape(store))
    assert (found.tiles.label_names, found.tiles.domain_names) == (("Ki67<14%", "ß"), ("scanner [a]", "b//c"))
    assert found.arrays.keys() == left.arrays.keys()
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    pd.testing.assert_frame_equal(found.history, left.history, check_like=True)

    labels, domains = np.arange(6) % 2, np.arange(6) // 3
    plain = task_of(left.config).make(left.config, store_shape(store), "cpu")
    plain.load(left.arrays)
    ours = found.sampler().sample(labels, torch_stream(7, "augment"), domains)
    np.testing.assert_array_equal(ours, plain.sample(labels, torch_stream(7, "augment"), domains))
    assert ours.shape == (6, 16, 16, 3) and ours.dtype == np.uint8
    for other in ((7, "other"), (8, "augment")):
        assert (found.sampler().sample(labels, torch_stream(*other), domains) != ours).any()
    assert (found.sampler().sample(labels, torch_stream(7, "augment"), 1 - domains) != ours).any()
    for part, array in found.learner().arrays(["discriminator"]).items():
        np.testing.assert_array_equal(array, left.arrays[part])


def test_neither_the_store_nor_an_edited_configuration_is_looked_at(left, copy, monkeypatch):
    save_config(load_config(copy / "config.yaml").model_copy(update={"seed": 7}), copy / "config.yaml")
    rewrite(copy / EXPERIMENT.identity, lambda record: record["started"]["data"].update(store="/nowhere/tiles"))
    monkeypatch.chdir(copy.parent)
    found = Finished.open("copy")
    assert (found.config.seed, found.config.data.store) == (left.config.seed, "/nowhere/tiles")
    assert found.sampler().sample(np.array([1]), torch_stream(0)).shape == (1, 16, 16, 3)


def test_a_classifier_judges_as_it_did_and_makes_no_tiles(store, new_database, tmp_path):
    left = leave(classifiers.experiment(store, federation__num_rounds=1), tmp_path / "run", new_database(tmp_path))
    tiles = store.tiles(store.indices("test"))
    plain = task_of(left.config).make(left.config, store_shape(store), "cpu")
    plain.load(left.arrays)
    for found in (Finished.open(left.folder), Finished.open(left.run_id, left.uri)):
        np.testing.assert_array_equal(found.classifier().logits(tiles), plain.logits(tiles))
        with pytest.raises(
            ResultsError, match=r"holds a run of task 'classification', which makes no tiles; give one of another"
        ):
            found.sampler()


@pytest.mark.parametrize("aggregate", ["generator", "discriminator"])
def test_what_stays_with_clients_is_not_made_up(aggregate, small_config, new_database, tmp_path):
    config = small_config(federation__aggregate=aggregate, federation__num_rounds=1)
    left = leave(config, tmp_path / "run", new_database(tmp_path))
    for found in (Finished.open(left.folder), Finished.open(left.run_id, left.uri)):
        assert found.arrays.keys() == left.arrays.keys() and found.scores == SCORES
        if aggregate == "generator":
            assert len(found.sampler().sample(np.zeros(3, np.int64), torch_stream(0))) == 3
        else:
            with pytest.raises(ResultsError, match=r"has no generator_ema: each client kept its own, .*'both'"):
                found.sampler()
    with pytest.raises(ResultsError, match="task 'gan', which tells no labels apart"):
        found.classifier()


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


ROUND = "checkpoint/round-00002"

BROKEN = {
    "not finished": (lambda run: (run / FINISHED).unlink(), "is not finished; let its job go on with --resume .*copy"),
    "nothing in it": (lambda run: shutil.rmtree(run) or run.mkdir(), "holds no experiment and no sweep"),
    "nothing there": (shutil.rmtree, "there is no results folder"),
    "an older format": (
        lambda run: rewrite(run / EXPERIMENT.identity, lambda content: content["rests_on"].update({FORMAT: "3"})),
        r"was written by FedRay 0\.1\.0 in format 3, .* in format 5; run it again with this one",
    ),
    "from before there was a format": (
        lambda run: (run / EXPERIMENT.identity).write_text('{"key": "a"}'),
        "does not say what the experiment was started with",
    ),
    "no checkpoint": (lambda run: shutil.rmtree(run / "checkpoint"), "its checkpoint is gone .*run it again"),
    "half a checkpoint": (lambda run: halve(run / ROUND / "server.safetensors"), "copy is damaged"),
    "an edited identity": (
        lambda run: (run / EXPERIMENT.identity).write_text((run / EXPERIMENT.identity).read_text().replace("16", "17")),
        "experiment.json is damaged, or was edited",
    ),
    "a part of it": (lambda run: (run / ROUND / "server.safetensors").unlink(), "copy is damaged"),
    "a checkpoint of another format": (
        lambda run: rewrite(run / ROUND / "state.json", lambda content: content.update(format=1)),
        "copy is damaged .*has checkpoint format 1",
    ),
    "half a table": (lambda run: halve(run / RESULTS), "copy is damaged"),
    "half an ending": (lambda run: halve(run / FINISHED), "copy is damaged"),
    "an empty ending": (lambda run: (run / FINISHED).write_text("{}"), "copy is damaged .*KeyError"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_folder_that_is_not_whole_is_refused(broken, copy):
    breaks, told = BROKEN[broken]
    breaks(copy)
    with pytest.raises((ResultsError, ConfigError), match=told) as refused:
        Finished.open(copy)
    assert str(copy) in str(refused.value) and "\n" not in str(refused.value)


def test_arrays_of_another_configuration_are_refused(copy):
    rewrite(copy / EXPERIMENT.identity, lambda content: content["started"]["gan"].update(generator_channels=4))
    with pytest.raises(ResultsError, match="do not fit its configuration"):
        Finished.open(copy).sampler()


def test_an_address_where_nothing_is_is_refused(bucket):
    with pytest.raises(ResultsError, match=r"s3://.*/typo holds no experiment and no sweep"):
        Finished.open(f"{bucket.uri}/typo")


def files_of(run):
    return Path(run.info.artifact_uri.removeprefix("file://"))


class Bomb:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


RUNS = {
    "unknown": (lambda client, run: "0" * 32, r"MLflow knows no run 0{32} at sqlite.*correct the id"),
    "deleted": (lambda client, run: client.delete_run(run.info.run_id), "was deleted; bring it back by `mlflow runs"),
    "failed": (lambda client, run: client.set_terminated(run.info.run_id, "FAILED"), "is not finished but FAILED; let"),
    "running": (lambda client, run: client.update_run(run.info.run_id, "RUNNING"), "is not finished but RUNNING"),
    "a trial": (
        lambda client, run: client.set_tag(run.info.run_id, "mlflow.parentRunId", "abc"),
        "is a trial of a sweep, .* open that one: abc",
    ),
    "of an older FedRay": (lambda client, run: (files_of(run) / ARRAYS).unlink(), r"has no arrays\.safetensors among"),
    "files are gone": (
        lambda client, run: shutil.rmtree(files_of(run)),
        r"has no finished\.json, arrays\.safetensors, config\.yaml among its files in file:.*open the folder of its",
    ),
    "of another format": (
        lambda client, run: rewrite(
            files_of(run) / FINISHED, lambda content: content["rests_on"].update({FORMAT: "6"})
        ),
        "in format 6, and this FedRay opens",
    ),
    "no safetensors": (
        lambda client, run: (files_of(run) / ARRAYS).write_bytes(pickle.dumps(Bomb())),
        "is damaged: .*its content is not what was logged",
    ),
}


@pytest.fixture
def run_of_its_own(left):
    """A run in MLflow, to be damaged, and its address."""
    run = Tracker(left.uri, "fedray").start_run("run")
    run.log_config(left.config)
    log_ending(run, left.config, left.arrays, local_store(left.config.data), 2, SCORES, {})
    run.finish("FINISHED")
    return run.run_id, run.uri


@pytest.mark.parametrize("broken", RUNS)
def test_a_run_in_mlflow_that_is_not_whole_is_refused(broken, run_of_its_own):
    run_id, uri = run_of_its_own
    client, (breaks, told) = MlflowClient(uri), RUNS[broken]
    asked = breaks(client, client.get_run(run_id))
    with pytest.raises((ResultsError, TrackingError), match=told) as refused:
        Finished.open(asked if isinstance(asked, str) else run_id, uri)
    assert "\n" not in str(refused.value)


def test_a_run_without_its_database_is_refused_and_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError, match=r"there is no MLflow database .*mlflow\.db"):
        Finished.open("0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_the_server_s_arrays_are_those_of_the_whole_checkpoint(left):
    whole, _ = load_checkpoint(left.folder / ROUND)
    found = Finished.open(left.folder)
    assert found.rounds == whole.round_index
    for name, array in shared_arrays(whole).items():
        np.testing.assert_array_equal(found.arrays[name], array)
