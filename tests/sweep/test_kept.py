"""A study as it is kept: trial by trial what Optuna had, read without a pickle, and by Optuna itself."""

import json
import pickle
import sqlite3

import optuna
import pytest
from optuna.trial import TrialState

from fedray.config import ConfigError
from fedray.results import Place
from fedray.results.files import TRIALS
from fedray.storage import DamagedError
from fedray.sweep.kept import export_study, study_of
from fedray.sweep.state import keep_state
from tests.support.spaces import METRIC
from tests.support.swept import leave_sweep, planted_space, searched

CHECKED = (
    "number", "state", "values", "params", "distributions", "system_attrs", "intermediate_values", "datetime_start",
    "datetime_complete",
)  # fmt: skip


@pytest.fixture(scope="module")
def left(small_store, tmp_path_factory):
    """A finished sweep's folder, and the study that it had in memory."""
    folder = tmp_path_factory.mktemp("kept") / "a sweep? 100%#1"
    result, searcher = leave_sweep(small_store, folder, num_trials=12)
    searcher.study.enqueue_trial({"gan.n_critic": 1})  # waits
    return result, searcher.study


def same(kept: optuna.Study, study: optuna.Study) -> None:
    for ours, theirs in zip(kept.trials, study.trials, strict=True):
        for name in CHECKED:
            assert getattr(ours, name) == getattr(theirs, name), name


def test_it_comes_back_whole_without_a_pickle(left, monkeypatch):
    result, study = left
    monkeypatch.setattr(pickle, "loads", None)
    kept = study_of(result.space, Place(result.out))
    assert len(kept.trials) == 12 and {trial.state for trial in kept.trials} == {
        TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
    }  # fmt: skip
    study = optuna.create_study()
    study.add_trials(left[1].trials[:12])
    same(kept, study)
    runs = dict(zip(result.trials["trial"], result.trials["run_id"], strict=True))
    for ours, theirs in zip(kept.trials, study.trials, strict=True):
        assert ours.user_attrs == {**theirs.user_attrs, "run_id": runs[theirs.user_attrs["trial_id"]]}


def test_optuna_reads_the_export_trial_by_trial(left, tmp_path):
    result, _ = left
    kept, path = study_of(result.space, Place(result.out)), tmp_path / "odd ?#%20 name.db"
    export_study(kept, path, "first")
    export_study(kept, path, "second")  # several sweeps in one file
    place = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path)})
    assert optuna.study.get_all_study_names(place) == ["first", "second"]
    for name in ("first", "second"):
        read = optuna.load_study(study_name=name, storage=place)
        assert read.direction is optuna.study.StudyDirection.MINIMIZE
        same(read, kept)
        assert read.best_trial.user_attrs["run_id"] == result.best["run_id"]
        assert read.best_value == result.best["score"]
    row = result.trials.set_index("number")
    for trial in read.trials:
        assert trial.user_attrs["spent/seconds"] == row.loc[trial.number, "seconds"]
        if trial.state is not TrialState.FAIL:
            assert trial.user_attrs["round"] == row.loc[trial.number, "rounds"]
            assert trial.user_attrs[f"scores/{METRIC}"] == row.loc[trial.number, METRIC]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_stands_in_the_way_stays_as_it_was(left, tmp_path):
    result, _ = left
    kept = study_of(result.space, Place(result.out))
    other, taken = tmp_path / "notes.txt", tmp_path / "study.db"
    other.write_text("not a database, but long enough to look at " * 40)
    export_study(kept, taken, "a")
    before = taken.read_bytes()
    with pytest.raises(ConfigError, match="is no SQLite storage of Optuna's"):
        export_study(kept, other, "a")
    with pytest.raises(ConfigError, match="holds a study 'a' already; give this one another --name"):
        export_study(kept, taken, "a")
    assert taken.read_bytes() == before and other.read_text().startswith("not a database")
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", "study.db"}


def test_one_that_still_runs_is_read_from_its_signed_state(small_store, tmp_path):
    space, out = planted_space(small_store, 6), Place(tmp_path)
    with pytest.raises(ConfigError, match="has no study yet: none of its trials has begun"):
        study_of(space, out)
    searcher = searched(space)
    searcher.suggest("running")
    (tmp_path / "files").mkdir()
    searcher.save(str(tmp_path / "files" / "searcher-state-now.pkl"))
    keep_state(tmp_path / "files", tmp_path / "tune")
    kept = study_of(space, out)
    same(kept, searcher.study)
    assert kept.trials[-1].state is TrialState.RUNNING
    export_study(kept, tmp_path / "study.db", "running")
    read = optuna.load_study(study_name="running", storage=f"sqlite:///{tmp_path}/study.db")
    same(read, kept)


def test_a_study_that_was_changed_is_refused(small_store, tmp_path):
    result, _ = leave_sweep(small_store, tmp_path / "sweep", num_trials=4)
    record = json.loads((tmp_path / "sweep" / TRIALS).read_text())
    record["trials"][0]["values"] = [0.0]
    (tmp_path / "sweep" / TRIALS).write_text(json.dumps(record))
    with pytest.raises(DamagedError, match=r"trials\.json is damaged, or was edited"):
        study_of(result.space, Place(tmp_path / "sweep"))
