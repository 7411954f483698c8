"""Krum (Blanchard et al. 2017): the client that is nearest to the others."""

from flwr.serverapp.strategy import Krum, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.federation.strategies.robust import FiniteReplies


class FiniteKrum(FiniteReplies, Krum):
    """Flower's, of the replies that are finite."""


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy."""
    strategy = FiniteKrum(**COMMON, num_malicious_nodes=config.federation.num_malicious)
    strategy.min_replies = 2 * config.federation.num_malicious + 3
    return strategy


client = ClientHalf
