"""The optimiser, with a learning rate that falls along cosines and starts anew, and its moments as named arrays."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.config.classification import ClassificationConfig
from fedray.learning import Arrays
from fedray.learning.optimizers import Adam, Sgd, load_moments, moments_of
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
        return moments_of({PART: self.steps})

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        load_moments({PART: self.steps}, arrays)


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
