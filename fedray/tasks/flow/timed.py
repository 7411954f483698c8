"""Single steps of the network on random tiles, and how long each takes."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from fedray.data import LabelledTiles
from fedray.learning import Hook
from fedray.randomness import stream
from fedray.tasks.flow.flow import PART, Flow
from fedray.tasks.flow.local_pass import local_pass
from fedray.tasks.flow.optimizer import FlowOptimizer


class FlowStepper:
    """Takes steps of a local pass, augmentation included."""

    def __init__(self, flow: Flow, hooks: Sequence[Hook]) -> None:
        """Train this network, in place.

        Args:
            flow: On its device.
            hooks: What adds to the loss, or changes gradients before they are used.
        """
        self.device = flow.device
        self._flow, self._hooks, self._optimizer = flow, hooks, FlowOptimizer(flow)

    def take(self, num_tiles: int) -> Mapping[str, float]:
        """Take a step on so many tiles, at most those of a batch; returns its seconds."""
        shape, random = self._flow.shape, stream(0, "timed")
        tiles = random.integers(0, 256, (num_tiles, shape.size, shape.size, shape.channels), np.uint8)
        labels = random.integers(0, shape.num_labels, num_tiles)
        batch = LabelledTiles(tiles, labels, np.zeros(num_tiles, np.int64))
        started = self._now()
        local_pass(
            self._flow, self._optimizer, batch, num_steps=1, steps_before=0, num_rounds=1, seed=0, hooks=self._hooks
        )
        return {PART: self._now() - started}

    def close(self) -> None:
        """Let go of the gradients."""
        self._flow.network.zero_grad(set_to_none=True)

    def _now(self) -> float:
        """Read the clock when the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
