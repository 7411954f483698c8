"""FedProx (Li et al. 2020): every client is pulled back to where its round began."""

from collections.abc import Sequence
from typing import ClassVar

from flwr.serverapp.strategy import FedProx, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.federation.traffic import Part
from fedray.learning import Arrays, Hook, Learner, Proximal


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy."""
    return FedProx(**COMMON, proximal_mu=config.federation.proximal_mu)


class Pulled(ClientHalf):
    """Adds the gradient of (mu / 2) ||w - w_0||^2."""

    MESSAGES: ClassVar[tuple[Part, ...]] = (
        Part(
            "server", "train", "config", "proximal-mu", "mu, which the configuration has too (Flower's own)",
            "each site of the round", "every round", "a number",
        ),
    )  # fmt: skip

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Remember where the round begins."""
        return [Proximal(learner.networks(), self.config.federation.proximal_mu)]


client = Pulled
