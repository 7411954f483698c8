"""What a round of a federation is, by name: this dict is the list of them, and what ``--help`` says."""

from typing import TYPE_CHECKING, Literal

MODES: dict[str, str] = {
    "federated": "clients train both networks, the server averages",
    "centralised": "the baseline, one data-parallel training on all tiles",
    "fedssg": "as 'federated', and the server hands clients synthetic tiles of what they lack (arXiv 2604.26324)",
    "md-gan": "one generator on the server, discriminators with the clients, which swap them (Hardy et al. 2019)",
}

AVERAGING = ("federated", "fedssg")
"""Modes in which a strategy aggregates what several clients train."""

if TYPE_CHECKING:
    ModeName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    ModeName = Literal[tuple(MODES)]


def described_modes() -> str:
    """Return what ``--help`` says of ``federation.mode``."""
    return f"{'; '.join(f'{name!r}: {text}' for name, text in MODES.items())}."
