"""Every task that is registered passes the suite."""

import pytest

from fedray.config import TASKS
from fedray.tasks import task_of
from fedray.testing import TaskSuite, small_experiment

CONFIGS = {name: small_experiment({"task": name}) for name in TASKS}


@pytest.mark.parametrize(
    ("task", "config"), [(task_of(config), config) for config in CONFIGS.values()], ids=CONFIGS, scope="class"
)
class TestTasks(TaskSuite):
    pass
