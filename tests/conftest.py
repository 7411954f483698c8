"""What the whole suite shares: one local Ray, one small store of tiles, a cache of its own, and no telemetry."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before anything imports these libraries; worker processes inherit it. One thread a process: the tests' networks are
# tiny, and several processes share two cores.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray starts workers ahead of any work; ours have an environment of their own, and would leave those idle.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
# Of sweeps' states; without one, the tests would make a key in the home of whoever runs them.
os.environ.setdefault("FEDRAY_SIGNING_KEY", "of the tests alone, and 32 bytes long")

import numpy as np
import pytest
from PIL import Image

from fedray.config import ExperimentConfig, override
from fedray.data import TileStore, write_store
from tests.support.once import made_once
from tests.support.small import SMALL, NewDatabase, WriteImages, random_tiles
from tests.support.storage import Bucket, local_s3

COLORECTAL = Path(__file__).parents[1].parent / "shared" / "data" / "colorectal-tiles"

# The files of minutes, longest first: one of them at the end would leave the other processes without work.
LONG = (
    "mlflow_server/test_server.py",
    "deployment/test_hospitals.py",
    "cluster/test_autoscaling.py",
    "sweep/test_run.py",
    "cluster/test_ray_job.py",
    "sweep/test_resume.py",
    "experiment/test_run.py",
    "simulation/test_nodes.py",
    "jobs/test_network.py",
    "experiment/engines/test_ray_train.py",
    "tasks/gan/test_contract.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files."""
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all tests: 4 logical CPUs, whatever the machine has."""
    from fedray.simulation import start_local_ray, stop_local_ray

    start_local_ray(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=500 * 1024**2,
        logging_level="ERROR",
    )
    yield
    stop_local_ray()


@pytest.fixture(scope="session")
def ray_address(ray_session: None) -> str:
    """Where another process joins the suite's Ray: to start one takes longer than most tests."""
    import ray

    address: str = ray.get_runtime_context().gcs_address
    return address


@pytest.fixture(scope="session")
def workers(ray_session: None, cache: Path) -> Iterator[Any]:
    """Two warm workers for all tests that do not kill them; they take none of the CPUs, which other tests may need."""
    from fedray.simulation import WorkerPool, WorkerResources

    with WorkerPool(WorkerResources(num_workers=2, cpus_per_worker=0)) as pool:
        yield pool


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stores, extractors and the key are made in empty folders of the suite's own, not the user's."""
    path = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDRAY_CACHE", str(path))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))  # not the user's key of pseudonyms
        patch.delenv("FEDRAY_PATIENT_KEY", raising=False)
        yield path


@pytest.fixture
def write_images(tmp_path: Path) -> WriteImages:
    """Write noise images of 20 x 24 px: so many in each folder."""

    def write(counts: dict[str, int], root: str = "images") -> Path:
        rng = np.random.default_rng(0)
        for folder, count in counts.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / root / folder / f"{i}.png")
        return tmp_path / root

    return write


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket in an S3 on loopback, with the environment that leads there and to a folder for copies."""
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "this machine"))
    with local_s3() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Put an empty MLflow database into a folder: a copy, because to make one takes seconds."""
    from fedray.tracking import check_tracking

    template = made_once(tmp_path_factory, "template.db", lambda path: check_tracking(f"sqlite:///{path}"))

    def copy(folder: Path) -> str:
        shutil.copy(template, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"

    return copy


@pytest.fixture(scope="session")
def colorectal() -> Path:
    """Real tiles that are not part of the project."""
    if not COLORECTAL.is_dir():
        pytest.skip(f"needs the colorectal tiles in {COLORECTAL}")
    return COLORECTAL


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    """40 tiles of 16 px, dark or bright, half of them for testing."""
    path = tmp_path_factory.mktemp("stores") / "small"
    return write_store(path, random_tiles(), label_names=["dark", "bright"])


@pytest.fixture(scope="session")
def small_config(small_store: TileStore) -> Any:
    """Return a maker of small experiments: ``small_config(gan__n_critic=2)``."""

    def make(**changes: Any) -> ExperimentConfig:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        return override(ExperimentConfig(), {**SMALL, "data.store": str(small_store.path), **dotted}, "test")

    return make
