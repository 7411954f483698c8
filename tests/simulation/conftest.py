"""The suite's two workers for the tests that do not kill them, and how a test module's apps reach the workers."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from ray import cloudpickle

from fedray.simulation import WorkerPool


@pytest.fixture(scope="session")
def pool(workers: WorkerPool) -> WorkerPool:
    return workers


@pytest.fixture(scope="module", autouse=True)
def by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Workers cannot import test modules: send what they define by value."""
    module: ModuleType = sys.modules[request.module.__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)
