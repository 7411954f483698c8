"""The optimisers of a GAN's two networks, and their moments as named arrays."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.learning import Arrays
from fedray.learning.optimizers import Adam, Sgd, load_moments, moments_of
from fedray.tasks.gan.gan import Gan

NETWORKS = ("generator", "discriminator")


class Optimizers:
    """The optimisers of both networks."""

    def __init__(self, gan: Gan) -> None:
        """Make fresh optimisers with the configured learning rates (two time scales, Heusel et al. 2017)."""
        recipe = gan.config.recipe
        self.generator = _optimizer(gan, "generator", recipe.generator_lr)
        self.discriminator = _optimizer(gan, "discriminator", recipe.discriminator_lr)

    def arrays(self) -> Arrays:
        """Return copies of the moments and step counts, keyed ``network.parameter-index.moment``; SGD has none."""
        return moments_of(self._by_network())

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        load_moments(self._by_network(), arrays)

    def _by_network(self) -> dict[str, torch.optim.Optimizer]:
        return {network: getattr(self, network) for network in NETWORKS}


def _optimizer(gan: Gan, network: str, lr: float) -> torch.optim.Optimizer:
    recipe = gan.config.recipe
    trained = [parameter for parameter in getattr(gan, network).parameters() if parameter.requires_grad]
    if gan.config.optimizer == "sgd":
        return Sgd(trained, lr)
    fused = True if gan.config.fused_optimizer else None
    return Adam(trained, lr, (recipe.beta1, recipe.beta2), fused=fused)
