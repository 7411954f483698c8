"""The optimiser, with a learning rate that rises and falls over all rounds."""

import math

from fedray.config import FlowConfig
from fedray.learning.optimizers import NetworkOptimizer
from fedray.tasks.flow.flow import PART, Flow

_BETAS = (0.9, 0.99)
"""Of AdamW: the second looks back a hundred steps, not a thousand, as there are few."""


class FlowOptimizer(NetworkOptimizer):
    """That of a velocity network."""

    def __init__(self, flow: Flow) -> None:
        """Make a fresh one with the configured learning rate and decay."""
        config = flow.config
        super().__init__(
            PART,
            flow.network,
            kind=config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=_BETAS,
            hidden=flow.network.hidden(),
        )


def learning_rate(config: FlowConfig, done: float) -> float:
    """Learning rate of the step that follows a share of all steps of all rounds, in [0, 1].

    It rises from 0 along a line for ``warmup_share`` of them, and then falls to 0 or stays.
    """
    if done < config.warmup_share:
        return config.lr * done / config.warmup_share
    rest = min(1.0, (done - config.warmup_share) / (1 - config.warmup_share))
    falls = {"cosine": (1 + math.cos(math.pi * rest)) / 2, "linear": 1 - rest, "constant": 1.0}
    return config.lr * falls[config.decay]
