import os
from pathlib import Path

import pytest
import ray

from fedray.simulation import SimulationError, find_ray, start_local_ray
from fedray.simulation.workers.local_ray import _session_root

LONG = "scratch-of-a-batch-job-" * 5


@pytest.fixture
def started(monkeypatch):
    """What ``ray.init`` is asked, without a second Ray in this process."""
    asked = {}
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options))
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    return asked


@pytest.fixture
def short(tmp_path_factory, monkeypatch):
    monkeypatch.chdir("/")
    folder = Path("/tmp") / f"fr-{os.getpid()}"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir()
    folder.rmdir()


def test_its_folder_is_the_users_own_and_short_enough(started, monkeypatch, short, tmp_path):
    monkeypatch.setenv("TMPDIR", str(short))
    start_local_ray(num_cpus=1)
    folder = Path(started["_temp_dir"])
    assert (started["address"], started["num_cpus"], folder.parents[1]) == ("local", 1, short)
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    for place in (tmp_path / LONG, tmp_path / "not-there"):  # SLURM's own, and one that the batch system took away
        monkeypatch.setenv("TMPDIR", str(place))
        start_local_ray()
        assert Path(started["_temp_dir"]).parents[1] == Path("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    start_local_ray()
    assert Path(started["_temp_dir"]).parents[1] == short


def test_somebody_elses_folder_of_that_name_is_passed_by(started, monkeypatch, short, tmp_path):
    monkeypatch.setenv("TMPDIR", str(short))
    (short / f"fedray-{os.getuid()}").symlink_to(tmp_path)
    assert _session_root() not in (tmp_path, short / f"fedray-{os.getuid()}")
    assert _session_root().parent == short
    (short / f"fedray-{os.getuid()}").unlink()


def test_without_a_short_folder_it_says_so(started, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / LONG))
    monkeypatch.setattr(os, "getuid", lambda: 10**60)
    with pytest.raises(SimulationError, match=r"is too long .* set RAY_TMPDIR to a short, writable folder"):
        start_local_ray()


@pytest.mark.parametrize(("told", "found"), [("local", None), ("ray://host:10001", "ray://host:10001")])
def test_the_ray_to_join_is_the_one_that_is_named(monkeypatch, told, found):
    monkeypatch.setenv("RAY_ADDRESS", told)
    assert find_ray() == found
