"""Jobs run in this process as their command line runs them: arguments in; status, output and files out."""

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedray.cli.options import run_job
from fedray.config import nest
from fedray.data import TileStore
from fedray.data.store import FORMAT_VERSION
from tests.support.jobs import SEARCH, Finished, Job, load
from tests.support.small import SMALL


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the jobs: empty, and whatever a job writes beside its --out is in it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "200")  # messages of the command line parser are not wrapped
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Return ``run(job, *arguments)``; a fixture per job wraps it."""

    def run(name: str, *arguments: object) -> Finished:
        job = load(name)
        monkeypatch.setattr(sys, "argv", [f"jobs/{name}.py", *map(str, arguments)])
        capsys.readouterr()
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            status = run_job(job.main)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, on_sigterm)
        return Finished(status, *capsys.readouterr())

    return run


@pytest.fixture
def train_gan(run: Callable[..., Finished]) -> Job:
    return lambda *arguments: run("train_gan", *arguments)


@pytest.fixture
def sweep_wgan(run: Callable[..., Finished]) -> Job:
    return lambda *arguments: run("sweep_wgan", *arguments)


@pytest.fixture
def sweep_gan(run: Callable[..., Finished]) -> Job:
    return lambda *arguments: run("sweep_gan", *arguments)


@pytest.fixture
def refused(folder: Path) -> Callable[..., str]:
    """Return ``refused(job, *arguments)``: the message of a job that must end with it alone, and leave no file."""

    def refused(job: Job, *arguments: object) -> str:
        before = sorted(folder.rglob("*"))
        done = job(*arguments)
        assert (done.status, done.output) == (2, ""), done
        assert "Traceback" not in done.errors
        by_parser = "For full helptext, " in done.errors  # it draws a box, with a frame where the terminal has one
        assert done.errors.count("For full helptext, " if by_parser else "error: ") == 1, done.errors
        assert by_parser or done.errors.startswith("error: "), done.errors
        assert sorted(folder.rglob("*")) == before
        return done.errors

    return refused


@pytest.fixture
def write_config(small_store: TileStore, tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of small experiments: ``write_config({"gan.n_critic": 0})``."""

    def write(changes: dict[str, Any] | None = None) -> Path:
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(nest({**SMALL, "data.store": str(small_store.path), **(changes or {})})))
        return path

    return write


@pytest.fixture
def write_space(small_store: TileStore, tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of small search spaces: ``write_space({"federation.num_clients": 99}, num_trials=0)``."""

    def write(fixed: dict[str, Any] | None = None, **changes: Any) -> Path:
        small = {path: value for path, value in SMALL.items() if path not in SEARCH}
        space = {
            "name": "small",
            "fixed": nest({**small, "data.store": str(small_store.path), **(fixed or {})}),
            "search": SEARCH,
            "goal": {"metric": "fid/efficientnet-lite0/16"},
            "num_trials": 2,
            "start_points": [{"gan.n_critic": 2, "gan.generator_lr": 1e-3}],
        }
        path = tmp_path / "space.yaml"
        path.write_text(yaml.safe_dump(space | changes))
        return path

    return write


@pytest.fixture
def store_of_another_version(small_store: TileStore, tmp_path: Path) -> Path:
    copy = tmp_path / "old-store"
    shutil.copytree(small_store.path, copy)
    text = (copy / "store.json").read_text()
    now = f'"format_version": {FORMAT_VERSION}'
    assert now in text
    (copy / "store.json").write_text(text.replace(now, '"format_version": 99'))
    return copy


@pytest.fixture
def no_new_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Starting a Ray, or joining one, fails the test."""
    import ray

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a dry run must not start Ray")

    monkeypatch.setattr(ray, "init", refuse)
    before = ray.is_initialized()

    def check() -> None:
        assert ray.is_initialized() == before

    return check
