"""The tasks of an experiment by name: this dict is the list of them, and what ``--help`` says.

Each is a folder of that name in ``fedray.tasks``, and a section of the configuration.
"""

from typing import TYPE_CHECKING, Literal

TASKS: dict[str, str] = {
    "gan": "a generator of tiles, with the section gan (jobs/train_gan.py)",
    "classification": "a classifier of tiles, with the section classification (jobs/train_classifier.py)",
}

if TYPE_CHECKING:
    TaskName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    TaskName = Literal[tuple(TASKS)]


def described_tasks() -> str:
    """Return what ``--help`` says of ``task``."""
    told = "; ".join(f"'{name}': {text}" for name, text in TASKS.items())
    return f"What is trained. {told}."
