"""Whatever a job was writing when it died, or when the disk was full: it goes on to the same end, and nothing stays."""

import numpy as np
import pytest

from fedray.data import write_store
from fedray.data.catalog import _check_cache
from fedray.data.shared import fetch_store, upload_store
from fedray.evaluation.cache import Stored, load_or_build
from fedray.experiment.run import saved_config, with_rounds
from fedray.experiment.settled import settled
from fedray.federation import FederationState, keep_newest, latest_round, load_checkpoint, save_round, shared_arrays
from fedray.federation.messages import to_record
from fedray.results import Place
from fedray.results.basis import ShownTiles
from fedray.results.folder import EXPERIMENT, is_started
from fedray.results.generating import write_pictures
from fedray.storage import remove_leftovers
from fedray.sweep.state import keep_state
from fedray.tracking import send_kept
from fedray.tracking.deliveries import SENDERS, Delivery, file_delivery
from fedray.tracking.kept import Kept
from tests.support.small import random_tiles
from tests.support.small_jobs import run_as_told, run_or_resume, without_computing

LABELS = ["dark", "bright"]


def experiment(folder, config):
    run_or_resume(config, folder / "run")


def longer(folder, config):
    """One that is done after a round, and then asked for more."""
    place = Place.at(folder / "run")
    if not is_started(place, EXPERIMENT) or saved_config(place) != config:
        run_or_resume(with_rounds(config, 1), folder / "run")
    run_as_told(config, folder / "run")


def store(folder, config):
    write_store(folder / "store", random_tiles(8), label_names=LABELS, overwrite=True)


def other_store(folder):
    write_store(folder / "store", random_tiles(4, seed=1), label_names=LABELS)


def pictures(folder, config):
    if not (folder / "made").exists():
        shown = ShownTiles("f" * 32, 16, 3, tuple(LABELS), ("default",))
        write_pictures(folder / "made", random_tiles(2), shown, {"made-by": "a test"})


def cached(folder, config):
    _check_cache.__wrapped__(folder)
    arrays = {"features": np.arange(50.0)}
    found = load_or_build(folder / "evaluation" / "x.safetensors", lambda: Stored(arrays, {}))
    assert np.array_equal(found.arrays["features"], arrays["features"]) and found.metadata == {}


def fetched(folder, config):
    _check_cache.__wrapped__(folder / "cache")
    fetch_store(f"file://{folder}/bucket/store", folder / "cache" / "fetched")


def round_again(folder, config):
    """A round that has a checkpoint already: it is replaced, and at no moment is there none."""
    remove_leftovers(folder)
    newest = latest_round(folder / "checkpoint")
    assert newest is not None
    assert shared_arrays(load_checkpoint(newest)[0])["w"].tolist() in ([1.0], [2.0])
    save_round(folder / "checkpoint", FederationState(to_record({"w": np.full(1, 2.0)}), 1), {})
    keep_newest(folder / "checkpoint")


def told_later(folder, config):
    """What MLflow could not be told: whatever is kept whole is sent, and nothing stays."""
    remove_leftovers(folder)
    kept = Kept(str(folder), "ab" * 16, "sqlite:///none")
    for delivery in (file_delivery(folder.parent / "a picture"), Delivery("a tag", "tags", {"a": "b"})):
        kept.keep(delivery)
    send_kept(str(folder), "sqlite:///none")


def a_round(folder):
    save_round(folder / "checkpoint", FederationState(to_record({"w": np.ones(1)}), 1), {})


def state_of_tune(folder, config):
    remove_leftovers(folder)
    keep_state(folder / "staging", folder / "tune")


def tunes_files(folder):
    keep_state(folder, folder / "tune")
    (folder / "staging").mkdir()
    for name in ("experiment_state-1.json", "searcher-state-1.pkl", ".DS_Store"):
        (folder / "staging" / name).write_text(name * 10)


def shared_store(folder):
    (folder / "cache").mkdir()
    upload_store(write_store(folder / "store", random_tiles(4), label_names=LABELS), f"file://{folder}/bucket/store")


JOBS = {
    experiment: (lambda folder: None, {"experiment.json", "config.yaml", "results.parquet", "self_test.png",
                                       "extractor.safetensors", "round-00002", "samples.png", "finished.json"}),
    longer: (lambda folder: None, {"experiment.json", "config.yaml", "round-00001", "round-00002", "finished.json"}),
    store: (other_store, {"store.json", ".store.partial"}),
    pictures: (lambda folder: None, {"origin.json", "dark"}),
    cached: (lambda folder: None, {"x.safetensors"}),
    fetched: (shared_store, set()),
    round_again: (a_round, {"round-00001", "state.json"}),
    state_of_tune: (tunes_files, {"whole-state.zip"}),
    told_later: (lambda folder: None, {"unsent"}),
}  # fmt: skip
"""Functions that do what a command does: what lies there before, and some of what must have been seen being written."""


@pytest.fixture
def config(small_config, monkeypatch, tmp_path):
    without_computing(monkeypatch)
    monkeypatch.setattr("fedray.tracking.mlflow_client.connect", lambda uri: None)
    for kind in ("tags", "file"):
        monkeypatch.setitem(SENDERS, kind, lambda *_: None)
    (tmp_path / "a picture").mkdir()
    (tmp_path / "a picture" / "a.png").write_bytes(bytes(100))
    return settled(small_config(federation__num_rounds=2))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__)
def test_a_job_that_died_at_any_of_its_writes_goes_on_to_the_same_end(dies_everywhere, config, job):
    before, expected = JOBS[job]
    died_at = dies_everywhere(lambda folder: job(folder, config), before)
    names = {moment.path.name.partition(".0")[0] for moment in died_at} | {moment.path.name for moment in died_at}
    assert all(any(name.startswith(wanted) for name in names) for wanted in expected), names
    assert len(died_at) >= 2


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__)
def test_a_disk_that_was_full_at_any_of_its_writes_is_one_line_and_nothing_is_lost(
    disk_is_full_everywhere, config, job
):
    before, _ = JOBS[job]
    assert disk_is_full_everywhere(lambda folder: job(folder, config), before) >= 1
