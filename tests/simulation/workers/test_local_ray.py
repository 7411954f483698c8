import os
from pathlib import Path

import pytest
import ray

from fedray.simulation import SimulationError, find_ray, start_local_ray
from fedray.simulation.workers import local_ray
from fedray.simulation.workers.local_ray import _session_root

LONG = "scratch-of-a-batch-job-" * 5


@pytest.fixture
def started(monkeypatch):
    """What ``ray.init`` is asked, without a second Ray in this process, nor a second login."""
    asked = {}
    monkeypatch.setattr(local_ray, "require_login", lambda folder: asked.update(login=folder))
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
    assert folder.parent.stat().st_mode & 0o777 == 0o700 and started["login"] == folder.parent
    for place in (tmp_path / LONG, tmp_path / "not-there"):  # SLURM's own, and one that the batch system took away
        monkeypatch.setenv("TMPDIR", str(place))
        start_local_ray()
        assert Path(started["_temp_dir"]).parents[1] == Path("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    start_local_ray()
    assert Path(started["_temp_dir"]).parents[1] == short
    (short / "asked").mkdir()
    start_local_ray(_temp_dir=str(short / "asked"))
    assert Path(started["_temp_dir"]).parents[1] == short / "asked", "Ray itself would open it to everybody"


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


@pytest.mark.parametrize(
    ("told", "found"),
    [("local", None), ("ray://host:10001", "ray://host:10001"), ("10.0.0.9:6379", "10.0.0.9:6379"), ("", None)],
)
def test_the_ray_to_join_is_the_one_that_is_named(monkeypatch, told, found):
    monkeypatch.setenv("RAY_ADDRESS", told)
    assert find_ray() == found


@pytest.fixture
def started_here(monkeypatch, tmp_path):
    """The file in which `ray start` leaves its address for all users of a machine."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = tmp_path / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text("127.0.0.1:6379\n")
    return file


def test_a_ray_that_merely_runs_here_is_not_joined(monkeypatch, started_here):
    assert find_ray() is None
    assert find_ray("auto") == "127.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert find_ray() == "127.0.0.1:6379"
    assert find_ray("local") is None


def test_auto_passes_by_what_another_user_left_there(monkeypatch, started_here):
    monkeypatch.setattr(os, "getuid", lambda: started_here.stat().st_uid + 1)
    if started_here.stat().st_uid == 0:
        os.chown(started_here, 4711, -1)
    with pytest.raises(SimulationError, match=r"of user \d+, who would run code as you; .* HOST:PORT by RAY_ADDRESS"):
        find_ray("auto")
    started_here.unlink()
    started_here.symlink_to(__file__)
    with pytest.raises(SimulationError, match=r"ray_current_cluster cannot be read .* or unset it: one is started"):
        find_ray("auto")
    started_here.unlink()
    with pytest.raises(SimulationError, match="No such file"):
        find_ray("auto")
