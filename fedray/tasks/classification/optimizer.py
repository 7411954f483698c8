"""The optimiser, with a learning rate that falls along cosines and starts anew."""

import math

from torch import nn

from fedray.config.classification import ClassificationConfig
from fedray.learning.optimizers import NetworkOptimizer
from fedray.tasks.classification.classifier import PART, Classifier


class ClassifierOptimizer(NetworkOptimizer):
    """That of a classifier."""

    def __init__(self, classifier: Classifier) -> None:
        """Make a fresh one with the configured learning rate and decay."""
        config = classifier.config
        super().__init__(
            PART,
            classifier.network,
            kind=config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
        )


def beside(config: ClassificationConfig, network: nn.Module) -> NetworkOptimizer:
    """Make a fresh one of the same kind for a network that is trained beside a classifier."""
    return NetworkOptimizer("beside", network, kind=config.optimizer, lr=config.lr, weight_decay=config.weight_decay)


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
