"""Single steps of a local pass on random tiles, and how long each takes."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from fedray.data import LabelledTiles, TileShape
from fedray.randomness import stream


class PassStepper:
    """Takes steps of a local pass of one network, augmentation included."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        shape: TileShape,
        device: torch.device,
        step: Callable[[LabelledTiles], object],
    ) -> None:
        """Train this network, in place.

        Args:
            name: Of the network, in losses and steps.
            network: On the device.
            shape: Of its tiles.
            device: Where it computes.
            step: Takes a local pass of one step on some tiles.
        """
        self.device = device
        self._name, self._network, self._shape, self._step = name, network, shape, step

    def take(self, num_tiles: int) -> Mapping[str, float]:
        """Take a step on so many tiles, at most those of a batch; returns its seconds."""
        shape, random = self._shape, stream(0, "timed")
        tiles = random.integers(0, 256, (num_tiles, shape.size, shape.size, shape.channels), np.uint8)
        labels = random.integers(0, shape.num_labels, num_tiles)
        batch = LabelledTiles(tiles, labels, np.zeros(num_tiles, np.int64))
        started = self._now()
        self._step(batch)
        return {self._name: self._now() - started}

    def close(self) -> None:
        """Let go of the gradients."""
        self._network.zero_grad(set_to_none=True)

    def _now(self) -> float:
        """Read the clock when the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
