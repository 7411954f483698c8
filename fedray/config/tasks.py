"""The tasks of an experiment by name: this dict is the list of them, and what ``--help`` says.

Each is a folder of that name in ``fedray.tasks``, and a section of the configuration.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple


class TaskEntry(NamedTuple):
    """What people are told of a task."""

    what: str
    """What is trained."""
    job: str
    """What trains one experiment."""


TASKS: dict[str, TaskEntry] = {
    "gan": TaskEntry("a generator of tiles", "jobs/train_gan.py"),
    "classification": TaskEntry("a classifier of tiles", "jobs/train_classifier.py"),
    "flow": TaskEntry("a generator of tiles by flow matching", "jobs/train_flow.py"),
}

if TYPE_CHECKING:
    TaskName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    TaskName = Literal[tuple(TASKS)]


def described_tasks() -> str:
    """Return what ``--help`` says of ``task``."""
    told = "; ".join(f"'{name}': {task.what}, with the section {name} ({task.job})" for name, task in TASKS.items())
    return f"What is trained. {told}."
