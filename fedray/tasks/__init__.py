"""Families of models, one folder each; the module ``task.py`` in it is what the federation sees of it."""

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from fedray.config import ExperimentConfig
from fedray.learning import Arrays
from fedray.tasks.base import Classifier, Enough, Exported, Moments, Pass, Sampler, Stepper, Task

__all__ = [
    "Classifier",
    "Enough",
    "Exported",
    "Moments",
    "Pass",
    "Sampler",
    "Stepper",
    "Task",
    "judged_arrays",
    "shared_parts",
    "task_of",
]


def task_of(config: ExperimentConfig) -> Task:
    """Return the experiment's task: ``fedray.tasks.NAME.task``. Only the family that is used is imported."""
    return cast(Task, import_module(f"{__name__}.{config.task}.task"))


def shared_parts(config: ExperimentConfig) -> Sequence[str]:
    """Name the parts of the experiment's networks that travel."""
    return task_of(config).shared(config)


def judged_arrays(config: ExperimentConfig, arrays: Arrays) -> Arrays:
    """Pick the arrays that an experiment is judged by; none where they stay with the clients."""
    parts = tuple(task_of(config).judged(config))
    return {name: array for name, array in arrays.items() if name.partition(".")[0] in parts}
