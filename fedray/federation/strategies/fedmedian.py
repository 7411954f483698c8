"""Median (Yin et al. 2018): the middle value of every weight."""

from flwr.serverapp.strategy import FedMedian, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.federation.strategies.robust import FiniteReplies


class Median(FiniteReplies, FedMedian):
    """Flower's, of the replies that are finite."""


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy."""
    strategy = Median(**COMMON)
    strategy.min_replies = 3
    return strategy


client = ClientHalf
