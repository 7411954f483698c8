"""FedBN (Li et al. 2021, arXiv 2102.07623): every client keeps BatchNorm layers of its own.

Their weights, statistics and counters never leave it. So there is no common network: every client is judged with its
own layers. A client that has not trained has those that all began with.
"""

from collections.abc import Sequence

from flwr.serverapp.strategy import FedAvg, Strategy
from torch.nn.modules.batchnorm import _BatchNorm

from fedray.config import ConfigError, ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.learning import Learner
from fedray.tasks import shared_parts


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy; ConfigError where no network that travels has such a layer."""
    if not batch_norms(make(), shared_parts(config)):
        raise ConfigError(
            "federation.strategy 'fedbn' keeps BatchNorm layers with the clients, but no network that is averaged has "
            "one; take 'fedavg', which it would be, or networks with BatchNorm"
        )
    return FedAvg(**COMMON)


class OwnBatchNorms(ClientHalf):
    """Leaves the layers where they are."""

    def own(self, learner: Learner) -> Sequence[str]:
        """Name all arrays of these layers."""
        return batch_norms(learner, shared_parts(self.config))


client = OwnBatchNorms


def batch_norms(learner: Learner, parts: Sequence[str]) -> list[str]:
    """Return the names of all arrays of BatchNorm layers, told by what they are: a layer's name need not say it."""
    return [
        f"{part}.{name}.{array}"
        for part, network in learner.parts().items()
        if part in parts
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm)
        for array in layer.state_dict()
    ]
