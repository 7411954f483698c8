"""The network of 'domain-cnn', in torch-fidelity's terms."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch_fidelity import register_feature_extractor
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from fedray.evaluation.extractors.base import reduce_to
from fedray.evaluation.extractors.one_layer import OneLayer

NAME = "domain-cnn"
WIDTH = 64
WORKING_SIZE = 64
"""Larger tiles are reduced to this edge, in pixels; smaller ones are taken as they are."""
RECIPE = 1
"""Version of network and training; a change of either is a new extractor and must raise it."""
NUM_DEGRADATIONS = 4


class DomainCnn(OneLayer):
    """A small convolutional network; its features are the last layer, averaged over the tile.

    ``scale`` brings the features' total variance on the real training tiles to ``WIDTH``, so that KID's kernel
    (x.y / d + 1)^3 sees numbers of order one and FIDs of different stores have one unit.
    """

    WIDTH = WIDTH

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str | Path | None = None,
        channels: int = 3,
        num_labels: int = 2,
        **_: Any,
    ) -> None:
        """Build the network, and load its weights if a path is given; the shapes are then those of the file."""
        super().__init__(name, features_list)
        weights = load_file(feature_extractor_weights_path) if feature_extractor_weights_path else None
        if weights is not None:
            channels, num_labels = weights["layers.0.weight"].shape[1], weights["label_head.weight"].shape[0]
        self.layers = nn.Sequential(
            *_block(channels, 32, kernel=4, stride=2),
            *_block(32, WIDTH, kernel=3, stride=2),
            *_block(WIDTH, WIDTH, 3, 1),
        )
        self.label_head = nn.Linear(WIDTH, num_labels)
        self.degradation_head = nn.Linear(WIDTH, 1 + NUM_DEGRADATIONS)
        self.register_buffer("scale", torch.ones(()))
        if weights is not None:
            self.load_state_dict(weights)

    def pooled(self, tiles: torch.Tensor) -> torch.Tensor:
        """Unscaled features [N, 64] of tiles as :meth:`normalise` returns them."""
        pooled: torch.Tensor = self.layers(tiles).mean((2, 3))
        return pooled

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        """Features, float32 [N, 64], of tiles, uint8 [N, C, H, W]."""
        return ((self.pooled(self.normalise(tiles)) * self.scale).float(),)

    def normalise(self, tiles: torch.Tensor) -> torch.Tensor:
        """Bring tiles, uint8 [N, C, H, W], to the working size and to [-1, 1], in the network's precision."""
        return reduce_to(tiles.to(self.scale.dtype), WORKING_SIZE) / 127.5 - 1.0


def fresh_network(channels: int, num_labels: int, seed: int = 0) -> DomainCnn:
    """Build an untrained network from its own seed, leaving PyTorch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DomainCnn(NAME, [str(WIDTH)], channels=channels, num_labels=num_labels)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


if NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(NAME, DomainCnn)
