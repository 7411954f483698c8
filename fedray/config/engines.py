"""Who computes an experiment, by name: this dict is the list of them, and what ``--help`` says.

Each is a module of that name in ``fedray.experiment.engines``, with dashes written as underscores.
"""

from typing import TYPE_CHECKING, Literal

ENGINES: dict[str, str] = {
    "workers": "FedRay's workers, each with many clients; a centralised training is that of one client with all tiles",
    "ray-train": "Ray Train, whose workers share each batch of a centralised training",
}

if TYPE_CHECKING:
    EngineName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    EngineName = Literal[("auto", *ENGINES)]


def described_engines() -> str:
    """Return what ``--help`` says of ``resources.engine``."""
    told = "; ".join(f"{name!r}: {text}" for name, text in ENGINES.items())
    return f"Who computes. {told}. 'auto': 'ray-train' for federation.mode 'centralised', but 'workers' in a sweep."
