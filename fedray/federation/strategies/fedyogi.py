"""FedYogi (Reddi et al. 2021): the mean update is the gradient of Yogi on the server."""

from flwr.serverapp.strategy import FedYogi, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner, trained_names
from fedray.federation.strategies.server_optimised import ServerOptimised


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy, of trained parameters alone."""
    federation = config.federation
    optimiser = FedYogi(eta=federation.server_lr or 0.1, beta_1=federation.server_momentum, **COMMON)
    return ServerOptimised(optimiser, trained_names(config, make))


client = ClientHalf
