"""Checkpoints of trials that will never go on are deleted: as they end, or with the sweep on shared storage."""

from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import RecordDict
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from fedray.config import ExperimentConfig, override
from fedray.experiment.thinning import thin
from fedray.federation import (
    SERVER_FILES,
    FederationState,
    is_server_alone,
    latest_round,
    load_checkpoint,
    load_server,
    save_round,
    to_record,
)
from fedray.results import Place
from fedray.results.files import BEST_ROUND, NEWEST_ROUND
from fedray.sweep import SearchSpace
from fedray.sweep.checkpoints import DropCheckpoints, drop_checkpoints
from fedray.sweep.space import Promotion

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
    drop_checkpoints([ended(folders, name, result, shared) for name, result in results], SPACE)
    assert left(folders) == {"complete", "running"}


def ended(folders, name, result, files):
    """Describe a trial as Tune's results do."""
    checkpoint = SimpleNamespace(filesystem=files, path=str(folders / name / "checkpoint_000003"))
    config = {"federation.aggregate": "both"}
    return SimpleNamespace(
        metrics=result, filesystem=files, path=str(folders / name), checkpoint=checkpoint, config=config
    )


SPACE = SearchSpace.model_validate(
    {
        "name": "small",
        "search": {"federation.aggregate": {"type": "choice", "values": ["both", "discriminator"]}},
        "goal": {"metric": "fid/efficientnet-lite0/64"},
        "num_trials": 1,
    }
)


@pytest.fixture
def complete(tmp_path):
    """Whole checkpoints of a trial whose best round is its first of two."""
    checkpoint = tmp_path / "complete" / "checkpoint_000003"
    client = RecordDict({"optimizer": to_record({"moments": np.ones(9)})})
    for folder, round_index in ((NEWEST_ROUND, 2), (BEST_ROUND, 1)):
        state = FederationState(to_record({"w": np.full(2, float(round_index))}), round_index, {"m": np.ones(1)})
        save_round(checkpoint / folder, state, {5: client})
    return checkpoint


@pytest.mark.parametrize(
    "files", [LocalFileSystem(), SubTreeFileSystem("/", LocalFileSystem())], ids=["local", "shared"]
)
@pytest.mark.parametrize(
    ("promote", "aggregate", "whole"),
    [(None, "both", False), (Promotion(rounds=1), "both", True), (None, "discriminator", True)],
)
def test_of_a_complete_trial_stays_the_round_that_counts_whole_where_it_may_go_on_or_has_networks_elsewhere(
    complete, files, promote, aggregate, whole
):
    result = ended(complete.parents[1], "complete", KEPT["complete"], files)
    result.config = {"federation.aggregate": aggregate}
    for _ in range(2):  # killed meanwhile, it is done again
        drop_checkpoints([result], SPACE.model_copy(update={"promote": promote}))
        assert [path.name for path in complete.iterdir()] == [BEST_ROUND]
        newest = latest_round(complete / BEST_ROUND)
        assert load_server(newest)[0]["w"].tolist() == [1, 1]
        if whole:
            assert load_checkpoint(newest).client_states[5].array_records.keys() == {"optimizer"}
        else:
            assert {path.name for path in newest.iterdir()} == set(SERVER_FILES) and is_server_alone(newest)
            with pytest.raises(ValueError, match=r"has what the server had alone: .* by --starts-from"):
                load_checkpoint(newest)


def test_of_a_run_that_nobody_goes_on_with_stays_what_the_server_had(complete):
    apart = override(ExperimentConfig(), {"federation.aggregate": "generator"}, "test")
    newest = latest_round(complete / NEWEST_ROUND)
    thin(apart, complete / NEWEST_ROUND)
    assert load_checkpoint(newest).client_states, "clients have discriminators of their own"
    thin(ExperimentConfig(), complete / NEWEST_ROUND)
    assert load_server(newest)[0]["w"].tolist() == [2, 2] and is_server_alone(newest)
    thin(ExperimentConfig(), complete / "nothing yet")


def test_a_place_says_its_size(folders, bucket, tmp_path, monkeypatch):
    assert Place.at(folders).num_bytes() == 5 * len(b"moments")
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "head"))
    place = Place.at(f"{bucket.uri}/runs/first")
    (place.folder / "tune").mkdir(parents=True)
    (place.folder / "tune" / "state").write_bytes(b"123")
    place.push()
    assert Place.at(f"{bucket.uri}/runs/first").num_bytes() == 3
