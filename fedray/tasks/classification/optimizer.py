"""The optimiser, with a learning rate that falls along cosines and starts anew, and its moments as named arrays."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedray.config.classification import ClassificationConfig
from fedray.learning import Arrays
from fedray.learning.optimizers import Adam, Sgd, lay_out_alike
from fedray.tasks.classification.classifier import PART, Classifier


class ClassifierOptimizer:
    """AdamW of a classifier (Loshchilov and Hutter 2019), or SGD: biases and norms do not decay."""

    def __init__(self, classifier: Classifier) -> None:
        """Make a fresh one with the configured learning rate and decay."""
        config = classifier.config
        trained = [value for value in classifier.network.parameters() if value.requires_grad]
        groups = [
            {"params": [value for value in trained if value.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [value for value in trained if value.dim() <= 1], "weight_decay": 0.0},
        ]
        self.steps: torch.optim.Optimizer = (
            Sgd(groups, config.lr)
            if config.optimizer == "sgd"
            else Adam(groups, config.lr, decoupled_weight_decay=True, fused=True)
        )

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in self.steps.param_groups:
            group["lr"] = lr

    def arrays(self) -> Arrays:
        """Return copies of the moments and step counts, none of SGD, keyed ``classifier.parameter-index.moment``."""
        return {
            f"{PART}.{index}.{moment}": value.detach().cpu().numpy().copy()
            for index, moments in self.steps.state_dict()["state"].items()
            for moment, value in moments.items()
        }

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in arrays.items():
            _, index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = torch.from_numpy(np.array(value))
        self.steps.load_state_dict({"state": moments, "param_groups": self.steps.state_dict()["param_groups"]})
        lay_out_alike(self.steps)


def learning_rate(config: ClassificationConfig, rounds: float, num_rounds: int) -> float:
    """Learning rate after some rounds: a cosine with warm restarts (Loshchilov and Hutter 2017, eq. 5).

    Args:
        config: Has the rate at the start of a period, its share that is left at the end, and the periods' lengths.
        rounds: Gone, >= 0; 2.5 is in the middle of the third.
        num_rounds: Of the experiment: the length of the first period where the configuration has none.
    """
    period = float(config.restart_every or num_rounds)
    while rounds >= period:
        rounds, period = rounds - period, period * config.restart_factor
    lowest = config.final_lr_share * config.lr
    return lowest + (config.lr - lowest) * (1 + math.cos(math.pi * rounds / period)) / 2
