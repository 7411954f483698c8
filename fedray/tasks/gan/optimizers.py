"""The optimisers of a GAN's two networks, and their moments as named arrays."""

import inspect
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedray.learning import Arrays
from fedray.tasks.gan.gan import Gan

NETWORKS = ("generator", "discriminator")


class _Adam(torch.optim.Adam):
    """PyTorch's Adam without its compiler, which the original loads at its start and at every step: seconds a process.

    What the compiler would do there is not to compile. The methods are PyTorch's own, below what it wraps them in.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class _Sgd(torch.optim.SGD):
    """PyTorch's SGD in the same way."""

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


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
            _lay_out_alike(optimizer)


def lay_out_gradients(network: nn.Module) -> None:
    """Give gradients their parameter's strides, which PyTorch's own have, but not always those that a hook has set.

    A fused step on the CPU walks through both as they lie in memory, and takes other weights' gradients without a word
    (torch 2.15, ``findings/torch_fused_step_strides.sh``).
    """
    for parameter in network.parameters():
        gradient = parameter.grad
        if gradient is not None and gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter, requires_grad=False).copy_(gradient)


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments their parameter's strides: the fused kernel walks through both as they lie in memory."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape and value.dim() > 0:
                moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _optimizer(gan: Gan, network: str, lr: float) -> torch.optim.Optimizer:
    recipe = gan.config.recipe
    trained = [parameter for parameter in getattr(gan, network).parameters() if parameter.requires_grad]
    if gan.config.optimizer == "sgd":
        return _Sgd(trained, lr)
    fused = True if gan.config.fused_optimizer else None
    return _Adam(trained, lr, (recipe.beta1, recipe.beta2), fused=fused)
