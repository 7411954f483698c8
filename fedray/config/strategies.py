"""The strategies of a federation by name: this dict is the list of them, and what ``--help`` says.

Each is a module of that name in ``fedray.federation.strategies``, with dashes written as underscores.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple


class StrategyEntry(NamedTuple):
    """What people are told of a strategy."""

    what: str
    """What it does."""
    personal: bool = False
    """Whether every client ends with a network of its own: there is no common one to judge, to log or to sample."""


STRATEGIES: dict[str, StrategyEntry] = {
    "fedavg": StrategyEntry("the mean of the clients (McMahan et al. 2017)"),
    "fedavgm": StrategyEntry("with momentum on the server (Hsu et al. 2019)"),
    "fedprox": StrategyEntry("with a proximal term on the clients (Li et al. 2020)"),
    "fedadam": StrategyEntry("the mean update as the gradient of Adam on the server (Reddi et al. 2021)"),
    "fedyogi": StrategyEntry("of Yogi (the same)"),
    "fedadagrad": StrategyEntry("of Adagrad (the same)"),
    "fedmedian": StrategyEntry("the median (Yin et al. 2018)"),
    "trimmed-mean": StrategyEntry("the mean without the extremes (the same)"),
    "fedbn": StrategyEntry(
        "the mean but for BatchNorm layers, of which every client keeps its own (Li et al. 2021)", personal=True
    ),
    "fednova": StrategyEntry("the mean of updates divided by their numbers of steps (Wang et al. 2020)"),
    "scaffold": StrategyEntry("with control variates against the drift of clients (Karimireddy et al. 2020)"),
    "moon": StrategyEntry(
        "with features held near the server's network's and away from one's own last ones (Li et al. 2021)"
    ),
    "fediic": StrategyEntry(
        "for classifiers: with logits corrected by how rare and how difficult labels are, and contrast within a client "
        "and with prototypes of all (Wu et al. 2023)"
    ),
    "local-only": StrategyEntry("no mean at all, every client alone: the lower bound", personal=True),
    "krum": StrategyEntry("the client nearest to the others (Blanchard et al. 2017)"),
}

if TYPE_CHECKING:
    StrategyName = str
else:  # for the options and their check; a type checker cannot know what a dict holds
    StrategyName = Literal[tuple(STRATEGIES)]


def described_strategies() -> str:
    """Return what ``--help`` says of ``federation.strategy``."""
    told = "; ".join(f"'{name}': {strategy.what}" for name, strategy in STRATEGIES.items())
    return f"How clients train together and the server aggregates. {told}."
