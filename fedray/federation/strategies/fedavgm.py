"""FedAvgM (Hsu et al. 2019): the mean update with momentum."""

from flwr.serverapp.strategy import FedAvgM, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner, trained_names
from fedray.federation.strategies.server_optimised import ServerOptimised


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy, of trained parameters alone."""
    federation = config.federation
    optimiser = FedAvgM(
        server_learning_rate=federation.server_lr or 1.0, server_momentum=federation.server_momentum, **COMMON
    )
    return ServerOptimised(optimiser, trained_names(config, make))


client = ClientHalf
