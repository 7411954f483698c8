"""jobs/export_study.py and jobs/report_sweep.py: a sweep's folder in; a storage of Optuna's, or its report, out."""

from pathlib import Path

import optuna
import pytest

from fedray.results import Place
from fedray.results.files import FINISHED, TRIALS
from fedray.sweep.state import keep_state
from tests.support.swept import leave_sweep


@pytest.fixture
def left(small_store, folder):
    return leave_sweep(small_store, folder / "runs" / "first", num_trials=8)


@pytest.fixture
def export_study(run):
    return lambda *arguments: run("export_study", *arguments)


@pytest.fixture
def report_sweep(run):
    return lambda *arguments: run("report_sweep", *arguments)


def test_a_sweeps_study_is_there_under_the_name_of_its_folder(export_study, left, folder):
    done = export_study("runs/first", "--out", "studies/study.db")
    assert done.status == 0, done
    assert "studies/study.db: the study 'first' with 8 trials" in done.output
    assert "optuna-dashboard sqlite:///studies/study.db" in done.output
    read = optuna.load_study(study_name="first", storage=f"sqlite:///{folder}/studies/study.db")
    assert [trial.values for trial in read.trials] == [trial.values for trial in left[1].study.trials]
    again = export_study("runs/first", "--out", "studies/study.db", "--name", "another")
    assert again.status == 0 and "the study 'another'" in again.output


def test_the_report_is_made_again_also_of_a_sweep_from_before_there_were_any(report_sweep, left, folder):
    result, searcher = left
    (result.out / TRIALS).unlink()
    files = folder.parent / "files"
    files.mkdir()
    searcher.save(str(files / "searcher-state-then.pkl"))
    keep_state(files, Path(Place(result.out).state))
    done = report_sweep("runs/first")
    assert done.status == 0, done
    assert "The page: runs/first/report.html" in done.output and "generator_lr" in done.output
    assert "<h1>small</h1>" in (result.out / "report.html").read_text()
    assert not (result.out / "lock").exists()


@pytest.mark.parametrize("job", ["export_study", "report_sweep"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [((), "name the sweep to "), (("nowhere",), "nowhere holds no sweep (no sweep.json)")],
)
def test_what_is_no_sweep_is_said(run, refused, job, words, expected):
    assert expected in refused(lambda *arguments: run(job, *arguments), *words)


def test_one_that_is_not_finished_has_no_report_yet(report_sweep, refused, left, folder):
    (left[0].out / FINISHED).unlink()
    assert "the sweep in runs/first is not finished; let it go on with --resume" in refused(report_sweep, "runs/first")
