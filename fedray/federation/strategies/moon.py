"""MOON (Li et al. 2021, arXiv 2103.16257): features near the server's network's, and away from one's own last ones.

Of a batch of real tiles z is what the client's network makes of them, z_s what the server's made at the round's start,
z_p what this client's own last result makes, however long ago that was:

    mu * mean(-log(exp(cos(z, z_s) / tau) / (exp(cos(z, z_s) / tau) + exp(cos(z, z_p) / tau))))

The two others are in evaluation mode and without gradients: in training mode they would move their BatchNorm. Before
there is an own last result there is no term. The paper's z comes from a projection head; here it is the vector that a
classifier's last layer takes, which is that head's with ``classification.projection`` and the features without, or by
which a discriminator judges: the networks that read a client's tiles.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import Tensor, nn
from torch.nn import functional

from fedray.config import ConfigError, ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.learning import Arrays, Condition, Hook, Learner
from fedray.tasks import shared_parts

MU, TEMPERATURE = 1.0, 0.5
"""The paper's: of mu it tries 0.1 to 10."""


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy; ConfigError where no network that travels has one feature vector a tile."""
    if not readers(make(), shared_parts(config)):
        raise ConfigError(
            "federation.strategy 'moon' compares the features of real tiles, but no network that is averaged has one "
            "vector of them a tile; take gan.discriminator 'cnn' or a model of timm, and federation.aggregate 'both'"
        )
    return FedAvg(**COMMON)


class Contrast(Hook):
    """MOON's term."""

    def __init__(self, common: Mapping[str, nn.Module], previous: Mapping[str, nn.Module]) -> None:
        """Take the server's networks and the client's own last ones, by name."""
        self._common, self._previous = common, previous

    def loss(self, name: str, network: nn.Module, tiles: Tensor, condition: Condition) -> Tensor | None:
        """Return the term of a network that reads tiles."""
        if name not in self._previous:
            return None
        with torch.no_grad():
            common, previous = (_represent(of[name], tiles, condition) for of in (self._common, self._previous))
        return MU * contrast(_represent(network, tiles, condition), common, previous)


class Contrasted(ClientHalf):
    """Compares with what the round began with, and with the client's last result."""

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Keep the server's networks, and build the client's last ones; no term before there are any."""
        self._names = list(readers(learner, shared_parts(self.config)))
        if not kept:
            return ()
        networks = learner.networks()
        common = {name: _frozen(networks[name]) for name in self._names}
        now = learner.arrays(self._names)
        learner.load(kept)
        previous = {name: _frozen(networks[name]) for name in self._names}
        learner.load(now)
        return [Contrast(common, previous)]

    def end(self, learner: Learner, steps: Mapping[str, int]) -> Arrays:
        """Return the shared parts, and remember this result."""
        self._result = learner.arrays(self._names)
        return learner.arrays(shared_parts(self.config))

    def keep(self) -> Arrays:
        """Return this result, which is the previous one of the client's next round."""
        return self._result


client = Contrasted


def contrast(own: Tensor, common: Tensor, previous: Tensor) -> Tensor:
    """Return MOON's term without mu: of feature vectors [N, D] of the same tiles, a scalar."""
    pairs = [functional.cosine_similarity(own, other, dim=1) for other in (common, previous)]
    logits = torch.stack(pairs, 1).float() / TEMPERATURE
    return functional.cross_entropy(logits, torch.zeros(len(own), dtype=torch.int64, device=own.device))


def readers(learner: Learner, parts: Sequence[str]) -> dict[str, nn.Module]:
    """Return the networks of some parts that make one feature vector of a tile."""
    return {name: of for name, of in learner.networks().items() if name in parts and hasattr(of, "represent")}


def _represent(network: Any, tiles: Tensor, condition: Condition) -> Tensor:
    features: Tensor = network.represent(tiles, condition)
    return features


def _frozen(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).eval().requires_grad_(False)
