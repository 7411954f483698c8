"""The optimisers of a GAN's two networks, and their moments as named arrays."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedray.learning import Arrays
from fedray.learning.optimizers import Adam, Sgd, lay_out_alike
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
        return {
            f"{network}.{index}.{moment}": value.detach().cpu().numpy().copy()
            for network in NETWORKS
            for index, moments in getattr(self, network).state_dict()["state"].items()
            for moment, value in moments.items()
            if value is not None
        }

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        for network in NETWORKS:
            optimizer: torch.optim.Optimizer = getattr(self, network)
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in arrays.items():
                owner, index, moment = name.split(".")
                if owner == network:
                    moments.setdefault(int(index), {})[moment] = torch.from_numpy(np.array(value))
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
            lay_out_alike(optimizer)


def _optimizer(gan: Gan, network: str, lr: float) -> torch.optim.Optimizer:
    recipe = gan.config.recipe
    trained = [parameter for parameter in getattr(gan, network).parameters() if parameter.requires_grad]
    if gan.config.optimizer == "sgd":
        return Sgd(trained, lr)
    fused = True if gan.config.fused_optimizer else None
    return Adam(trained, lr, (recipe.beta1, recipe.beta2), fused=fused)
