"""Who is handed which synthetic tiles, by name: this dict is the list of policies, and what ``--help`` says.

Each is a function of that name in ``fedray.data.allocation``.
"""

from typing import TYPE_CHECKING, Literal

POLICIES: dict[str, str] = {
    "none": "nobody gets any, the run that others are held against",
    "balance": "each client's rare labels are filled up to its most frequent one, in the client's own domains",
    "cover": "each client gets tiles of the pairs of a label and a domain that it has none of",
    "proportional": "each client gets what it lacks against the mix of labels and domains of all clients together",
}

if TYPE_CHECKING:
    PolicyName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    PolicyName = Literal[tuple(POLICIES)]


def described_policies() -> str:
    """Return what ``--help`` says of ``classification.allocation``."""
    told = "; ".join(f"'{name}': {text}" for name, text in POLICIES.items())
    return f"How the server allocates synthetic tiles. {told}. For federation.mode 'fedssg'."
