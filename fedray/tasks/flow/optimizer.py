"""The optimiser, with a learning rate that rises and falls over all rounds, and its moments as named arrays."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.config import FlowConfig
from fedray.learning import Arrays
from fedray.learning.optimizers import Adam, Sgd, load_moments, moments_of
from fedray.tasks.flow.flow import PART, Flow

_BETAS = (0.9, 0.99)
"""Of AdamW: the second looks back a hundred steps, not a thousand, as there are few."""


class FlowOptimizer:
    """AdamW of a velocity network (Loshchilov and Hutter 2019), or SGD: biases and norms do not decay."""

    def __init__(self, flow: Flow) -> None:
        """Make a fresh one with the configured learning rate and decay."""
        config, trained = flow.config, list(flow.network.parameters())
        groups = [
            {"params": [value for value in trained if value.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [value for value in trained if value.dim() <= 1], "weight_decay": 0.0},
        ]
        self.steps: torch.optim.Optimizer = (
            Sgd(groups, config.lr)
            if config.optimizer == "sgd"
            else Adam(groups, config.lr, _BETAS, decoupled_weight_decay=True, fused=True)
        )

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in self.steps.param_groups:
            group["lr"] = lr

    def arrays(self) -> Arrays:
        """Return copies of the moments and step counts, none of SGD, keyed ``network.parameter-index.moment``."""
        return moments_of({PART: self.steps})

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        load_moments({PART: self.steps}, arrays)


def learning_rate(config: FlowConfig, done: float) -> float:
    """Learning rate of the step that follows a share of all steps of all rounds, in [0, 1].

    It rises from 0 along a line for ``warmup_share`` of them, and then falls to 0 or stays.
    """
    if done < config.warmup_share:
        return config.lr * done / config.warmup_share
    rest = min(1.0, (done - config.warmup_share) / (1 - config.warmup_share))
    falls = {"cosine": (1 + math.cos(math.pi * rest)) / 2, "linear": 1 - rest, "constant": 1.0}
    return config.lr * falls[config.decay]
