"""Where Tune keeps its files meanwhile."""

from pathlib import Path

import pytest
from ray import tune

from fedray.sweep import tuning


def test_sweeps_that_start_in_one_second_stage_their_files_apart(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.tune.utils.date_str", lambda: "2026-01-01_00-00-00")
    assert issubclass(tuning.SweepStorage, tune.Experiment._storage_context_cls)
    staged = [
        tune.Experiment("tune", tune.Trainable, storage_path=str(tmp_path / name)).local_path
        for name in ("one", "two", "one")
    ]
    assert staged[0] != staged[1] and staged[0] == staged[2]
