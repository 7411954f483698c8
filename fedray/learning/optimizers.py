"""PyTorch's optimisers as they are needed here: fast to start, and with moments that can be put back."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Literal

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


class Muon(torch.optim.Optimizer):
    """Steps of one size in every direction that a weight can take (Jordan et al. 2024), for convolutions and matrices.

    The momentum of a weight, as the matrix of its outputs by all else, is replaced by the nearest matrix whose
    singular values are about 1, and scaled so that a step is as long as AdamW's at that learning rate (Liu et al. 2025,
    arXiv 2502.16982). PyTorch's own takes matrices alone, and computes in bfloat16 on processors, too, that do not:
    there it is 30 times as slow (torch 2.15, ``findings/torch_muon_bfloat16.sh``).
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        """Make a fresh one of weights of two dimensions or more."""
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - _MOMENTUM)
                ahead = torch.lerp(weight.grad, momentum, _MOMENTUM).flatten(1)  # Nesterov's
                length = 0.2 * math.sqrt(max(ahead.shape))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(near_orthogonal(ahead).view(weight.shape), alpha=-group["lr"] * length)


_MOMENTUM = 0.95
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan et al.: an odd polynomial that five times over brings (0.01, 1] to about [0.7, 1.2]."""


def near_orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with the singular vectors of this one [m, n], and singular values near 1.

    Five Newton-Schulz steps. As they are odd polynomials, they are taken on the small square side alone, and the
    matrix is multiplied with what they make at the end: the same result in half the time.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return near_orthogonal(matrix.mT).mT
    first, third, fifth = _QUINTIC
    matrix = matrix / matrix.norm().clamp(min=1e-30)
    square = matrix @ matrix.mT
    made = torch.eye(len(square), device=square.device)
    for _ in range(5):
        gram = made @ square @ made
        step = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        step.diagonal().add_(first)
        made = step @ made
    return made @ matrix


class NetworkOptimizer:
    """What trains one network: AdamW (Loshchilov and Hutter 2019), SGD without momentum, or Muon beside AdamW.

    Biases and norms do not decay.
    """

    def __init__(
        self,
        part: str,
        network: nn.Module,
        *,
        kind: Literal["adamw", "muon", "sgd"],
        lr: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        hidden: Iterable[nn.Parameter] = (),
    ) -> None:
        """Make a fresh one of what is trained of a network.

        Args:
            part: Names the moments.
            network: On its device.
            kind: Of the optimiser.
            lr: Learning rate.
            weight_decay: Decoupled, or of SGD a term of the loss.
            betas: Of AdamW.
            hidden: Weights that Muon moves, if it is the kind; AdamW moves all others.
        """
        self._network = network
        for_muon = list(hidden) if kind == "muon" else []
        taken = set(map(id, for_muon))
        trained = [value for value in network.parameters() if value.requires_grad and id(value) not in taken]
        groups = [
            {"params": [value for value in trained if value.dim() > 1], "weight_decay": weight_decay},
            {"params": [value for value in trained if value.dim() <= 1], "weight_decay": 0.0},
        ]
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            part: Sgd(groups, lr) if kind == "sgd" else Adam(groups, lr, betas, decoupled_weight_decay=True, fused=True)
        }
        if for_muon:
            self._optimizers[f"{part}-muon"] = Muon(for_muon, lr, weight_decay)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps to come."""
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = lr

    def zero_grad(self) -> None:
        """Drop the gradients."""
        self._network.zero_grad(set_to_none=True)

    def step(self, clip_norm: float | None = None) -> None:
        """Take a step with the gradients that are there, scaled down to a norm where theirs is larger."""
        lay_out_gradients(self._network)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), clip_norm)
        for optimizer in self._optimizers.values():
            optimizer.step()

    def arrays(self) -> Arrays:
        """Return copies of the moments and step counts, none of SGD, keyed ``part.parameter-index.moment``."""
        return moments_of(self._optimizers)

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        load_moments(self._optimizers, arrays)


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
