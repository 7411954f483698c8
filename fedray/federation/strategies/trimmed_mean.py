"""Trimmed mean (Yin et al. 2018): the mean without the extremes of every weight."""

import math

from flwr.serverapp.strategy import FedTrimmedAvg, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.federation.strategies.robust import FiniteReplies


class TrimmedMean(FiniteReplies, FedTrimmedAvg):
    """Flower's, of the replies that are finite."""


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy."""
    strategy = TrimmedMean(**COMMON, beta=config.federation.trimmed_share)
    strategy.min_replies = math.ceil(1 / config.federation.trimmed_share)
    return strategy


client = ClientHalf
