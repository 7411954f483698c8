"""PyTorch's optimisers as they are needed here: fast to start, and with moments that can be put back."""

import inspect
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedray.learning.learner import Arrays


class Adam(torch.optim.Adam):
    """PyTorch's Adam without its compiler, which the original loads at its start and at every step: seconds a process.

    What the compiler would do there is not to compile. The methods are PyTorch's own, below what it wraps them in.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class Sgd(torch.optim.SGD):
    """PyTorch's SGD in the same way."""

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class NetworkOptimizer:
    """AdamW of one network (Loshchilov and Hutter 2019), or SGD without momentum: biases and norms do not decay."""

    def __init__(
        self,
        part: str,
        network: nn.Module,
        *,
        sgd: bool,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Make a fresh one of what is trained of a network, which is named ``part`` in its moments' names."""
        trained = [value for value in network.parameters() if value.requires_grad]
        groups = [
            {"params": [value for value in trained if value.dim() > 1], "weight_decay": weight_decay},
            {"params": [value for value in trained if value.dim() <= 1], "weight_decay": 0.0},
        ]
        self._part = part
        self.steps: torch.optim.Optimizer = (
            Sgd(groups, lr) if sgd else Adam(groups, lr, betas, decoupled_weight_decay=True, fused=True)
        )

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in self.steps.param_groups:
            group["lr"] = lr

    def arrays(self) -> Arrays:
        """Return copies of the moments and step counts, none of SGD, keyed ``part.parameter-index.moment``."""
        return moments_of({self._part: self.steps})

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        load_moments({self._part: self.steps}, arrays)


def moments_of(optimizers: Mapping[str, torch.optim.Optimizer]) -> Arrays:
    """Return copies of the moments and step counts of optimisers, by the name of what they train.

    Keys are ``name.parameter-index.moment``; SGD has none.
    """
    return {
        f"{name}.{index}.{moment}": value.detach().cpu().numpy().copy()
        for name, optimizer in optimizers.items()
        for index, moments in optimizer.state_dict()["state"].items()
        for moment, value in moments.items()
        if value is not None
    }


def load_moments(optimizers: Mapping[str, torch.optim.Optimizer], arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Continue with the moments that :func:`moments_of` returned for optimisers of these names."""
    for name, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            owner, index, moment = key.split(".")
            if owner == name:
                moments.setdefault(int(index), {})[moment] = torch.from_numpy(np.array(value))
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        lay_out_alike(optimizer)


def lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments their parameter's strides: the fused kernel walks through both as they lie in memory."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape and value.dim() > 0:
                moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def lay_out_gradients(network: nn.Module) -> None:
    """Give gradients their parameter's strides, which PyTorch's own have, but not always those that a hook has set.

    A fused step on the CPU walks through both as they lie in memory, and takes other weights' gradients without a word
    (torch 2.15, ``findings/torch_fused_step_strides.sh``).
    """
    for parameter in network.parameters():
        gradient = parameter.grad
        if gradient is not None and gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter, requires_grad=False).copy_(gradient)
