"""FedAvg (McMahan et al. 2017): the weighted mean of what the clients trained."""

from flwr.serverapp.strategy import FedAvg, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy."""
    return FedAvg(**COMMON)


client = ClientHalf
