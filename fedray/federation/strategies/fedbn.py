"""FedBN (Li et al. 2021, arXiv 2102.07623): every client keeps BatchNorm layers of its own.

Their weights, statistics and counters travel up, so that the server has their mean: generators are judged with it, and
a client begins with it that trains for the first time. They never come down to a client that has its own.
"""

from collections.abc import Mapping, Sequence

from flwr.serverapp.strategy import FedAvg, Strategy
from torch.nn.modules.batchnorm import _BatchNorm

from fedray.config import ConfigError, ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.learning import Arrays, Hook, Learner
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
    """Puts the client's own layers in the place of the server's."""

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Go on with the layers of this client's last round; before there was one, with the server's."""
        learner.load(kept)
        return ()

    def end(self, learner: Learner, steps: Mapping[str, int]) -> Arrays:
        """Return the shared parts, and remember the layers."""
        parts = shared_parts(self.config)
        self._own = learner.arrays(batch_norms(learner, parts))
        return learner.arrays(parts)

    def keep(self) -> Arrays:
        """Return the layers as they are now."""
        return self._own


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
