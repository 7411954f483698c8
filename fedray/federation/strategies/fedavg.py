"""FedAvg (McMahan et al. 2017): the weighted mean of what the clients trained."""

from flwr.serverapp.strategy import FedAvg, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, Names


def server(config: ExperimentConfig, names: Names) -> Strategy:
    """Return Flower's strategy."""
    return FedAvg(**COMMON)


client = ClientHalf
