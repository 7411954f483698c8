"""The strategies of a federation by name: this dict is the list of them, and what ``--help`` says.

Each is a module of that name in ``fedray.federation.strategies``, with dashes written as underscores.
"""

from typing import TYPE_CHECKING, Literal

STRATEGIES: dict[str, str] = {
    "fedavg": "the mean of the clients (McMahan et al. 2017)",
    "fedavgm": "with momentum on the server (Hsu et al. 2019)",
    "fedprox": "with a proximal term on the clients (Li et al. 2020)",
    "fedadam": "the mean update as the gradient of Adam on the server (Reddi et al. 2021)",
    "fedyogi": "of Yogi (the same)",
    "fedadagrad": "of Adagrad (the same)",
    "fedmedian": "the median (Yin et al. 2018)",
    "trimmed-mean": "the mean without the extremes (the same)",
    "fedbn": "the mean but for BatchNorm layers, of which every client keeps its own (Li et al. 2021)",
    "fednova": "the mean of updates divided by their numbers of steps (Wang et al. 2020)",
    "scaffold": "with control variates against the drift of clients (Karimireddy et al. 2020)",
    "moon": "with features held near the server's network's and away from one's own last ones (Li et al. 2021)",
    "krum": "the client nearest to the others (Blanchard et al. 2017)",
}

if TYPE_CHECKING:
    StrategyName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    StrategyName = Literal[tuple(STRATEGIES)]


def described_strategies() -> str:
    """Return what ``--help`` says of ``federation.strategy``."""
    told = "; ".join(f"'{name}': {text}" for name, text in STRATEGIES.items())
    return f"How clients train together and the server aggregates. {told}."
