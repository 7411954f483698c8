"""Experiments, networks and tiles that are small enough for tests."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fedray.config import ExperimentConfig, flatten, override
from fedray.data import LabelledTiles, TileShape

SHAPE = TileShape(size=16, channels=3, num_labels=2)
_SMALL = {
    "federation": {"num_clients": 3, "num_rounds": 3},
    "resources": {"device": "cpu"},
}
_SMALL_NETWORKS = {
    "gan": {"latent_dim": 8, "generator_channels": 4, "discriminator_channels": 8, "n_critic": 1, "batch_size": 4},
    "classification": {"channels": 8, "batch_size": 4},
    "flow": {"channels": 8, "blocks": 1, "batch_size": 4, "steps": 2},
}
"""By task: what makes its networks small."""


def small_experiment(changes: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Return an experiment of three clients with networks of a few thousand weights.

    Args:
        changes: By their paths in the configuration, such as ``{"gan.optimizer": "sgd"}``.

    Raises:
        ConfigError: They do not go together.
    """
    changes = changes or {}
    task = str(changes.get("task", ExperimentConfig().task))
    small = {**_SMALL, task: _SMALL_NETWORKS.get(task, {})}
    return override(ExperimentConfig(), {**flatten(small), **changes}, "test")


def noise_tiles(num: int = 9, shape: TileShape = SHAPE, seed: int = 0) -> LabelledTiles:
    """Return tiles of noise, which carry all labels and domains in turn."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (num, shape.size, shape.size, shape.channels), dtype=np.uint8)
    return LabelledTiles(
        pixels, np.arange(num) % shape.num_labels, np.arange(num) // shape.num_labels % shape.num_domains
    )
