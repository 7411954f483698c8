"""One pool of two workers for the tests that do not kill it, and how a test module's apps reach the workers."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from ray import cloudpickle

from fedray.simulation import WorkerPool, WorkerResources


@pytest.fixture(scope="session")
def pool(ray_session: None) -> Iterator[WorkerPool]:
    with WorkerPool(WorkerResources(num_workers=2, cpus_per_worker=0.5)) as pool:
        yield pool


@pytest.fixture(scope="module", autouse=True)
def by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Workers cannot import test modules: send what they define by value."""
    module: ModuleType = sys.modules[request.module.__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)
