"""How what a round trained is judged: one module an ability of a task, :class:`Judging` is what each offers."""

from importlib import import_module
from typing import cast

from fedray.config import ExperimentConfig
from fedray.experiment.judging.base import Evaluation, Heading, Judge, Judging
from fedray.tasks import task_of

__all__ = ["Evaluation", "Heading", "Judge", "Judging", "judging_of"]


def judging_of(config: ExperimentConfig) -> Judging:
    """Return how an experiment is judged: the module of this folder with the name of its task's ability."""
    return cast(Judging, import_module(f"{__name__}.{task_of(config).ABILITY}"))
