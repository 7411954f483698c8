"""Families of models, one folder each; the module ``task.py`` in it is what the federation sees of it."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TypeVar, cast

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
    "judged_parts",
    "shared_parts",
    "task_of",
]

T = TypeVar("T")


def task_of(config: ExperimentConfig) -> Task:
    """Return the experiment's task: ``fedray.tasks.NAME.task``. Only the family that is used is imported."""
    return cast(Task, import_module(f"{__name__}.{config.task}.task"))


def shared_parts(config: ExperimentConfig) -> Sequence[str]:
    """Name the parts of the experiment's networks that travel."""
    return task_of(config).shared(config)


def judged_arrays(config: ExperimentConfig, arrays: Arrays) -> Arrays:
    """Pick the arrays that an experiment is judged by; none where they, or a part of them, stay with the clients."""
    return {} if config.federation.personal else judged_parts(config, arrays)


def judged_parts(config: ExperimentConfig, arrays: Mapping[str, T]) -> dict[str, T]:
    """Pick the same of what the server has, whether or not that is all of it."""
    parts = tuple(task_of(config).judged(config))
    return {name: array for name, array in arrays.items() if name.partition(".")[0] in parts}
