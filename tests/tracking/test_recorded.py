"""Runs that MLflow has are read, and not changed; from a server: test_server.py."""

import pytest

from fedray.tracking import TrackingError, recorded_run


def test_a_run_comes_back_with_its_metrics_by_name_and_its_files(tracker, uri, tmp_path):
    run = tracker.start_run("run")
    for value in (1.0, 2.0):  # a round that was repeated after a resume
        run.log_round(1, {"kid/label/Ki67<14%": value})
    run.log_round(2, {"kid/label/Ki67<14%": 3.0, "loss": 4.0})
    (tmp_path / "a.txt").write_text("text")
    run.log_artifact(tmp_path / "a.txt")
    run.log_artifact(tmp_path / "a.txt", "folder")
    while_it_runs = recorded_run(run.run_id, uri)
    run.finish("FINISHED")
    found = recorded_run(run.run_id, uri)
    assert (while_it_runs.status, found.status, found.parent_run_id) == ("RUNNING", "FINISHED", None)
    assert found.history() == {1: {"kid/label/Ki67<14%": 2.0}, 2: {"kid/label/Ki67<14%": 3.0, "loss": 4.0}}
    assert found.files() == ["a.txt"]
    copies = tmp_path / "copies"
    copies.mkdir()
    copy = found.download("a.txt", copies)
    assert copy.read_text() == "text" and copy.parent == copies
    child = tracker.start_run("child", parent_run_id=run.run_id)
    assert recorded_run(child.run_id, uri).parent_run_id == run.run_id


def test_what_is_not_there_is_named(uri):
    with pytest.raises(TrackingError, match=r"MLflow knows no run 0{32} at .*; correct the id, or give the tracking"):
        recorded_run("0" * 32, uri)
