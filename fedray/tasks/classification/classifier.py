"""A classifier as one value: its network, its answers, and its weights as named arrays."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedray.config.classification import ClassificationConfig
from fedray.data import TileShape
from fedray.learning import Arrays, DivergedError, copy_in, to_float
from fedray.randomness import derive_seed
from fedray.tasks.classification.networks import make_network

PART = "classifier"
"""The one network: its arrays are named ``classifier.*``, its losses ``classifier/*``."""


class Classifier:
    """Tells which label a tile has."""

    def __init__(
        self,
        config: ClassificationConfig,
        shape: TileShape,
        seed: int,
        device: str | torch.device = "cpu",
        *,
        load_weights: bool = True,
    ) -> None:
        """Build the network with weights drawn from the stream ``(seed, "weights")``, or ImageNet's.

        Args:
            config: Of the network.
            shape: Of the tiles.
            seed: Of the experiment.
            device: Where it computes.
            load_weights: Whether to load ImageNet weights where they are configured; off where :meth:`load` follows.

        Raises:
            ModelError: The configured network cannot be built.
            PretrainedError: The package that has its weights is not installed.
        """
        self.config, self.shape, self.device = config, shape, torch.device(device)
        # Layers initialise themselves from PyTorch's global state; the fork keeps that state ours alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            network = make_network(config, shape, load_weights=load_weights)
        self.network: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> torch.autocast:
        """Compute in the configured precision within a ``with`` block."""
        enabled = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    def arrays(self, names: Iterable[str] = (PART,)) -> Arrays:
        """Return copies of parameters and buffers, batch statistics and their counters among them.

        Args:
            names: Which ones, each by its name or the beginning of it (``classifier``: all).
        """
        wanted, state = tuple(names), self.network.state_dict()
        return {
            name: value.detach().cpu().numpy().copy()
            for name, value in ((f"{PART}.{key}", value) for key, value in state.items())
            if any(name == part or name.startswith(f"{part}.") for part in wanted)
        }

    def trained(self, names: Iterable[str] = (PART,)) -> list[str]:
        """Return the names of the arrays of some parts that an optimiser trains: no batch statistics, no counters."""
        wanted = set(self.arrays(names))
        named = ((f"{PART}.{key}", value) for key, value in self.network.named_parameters())
        return [name for name, value in named if name in wanted and value.requires_grad]

    def networks(self) -> dict[str, nn.Module]:
        """Return the one network under its name in losses, steps and arrays."""
        return {PART: self.network}

    def parts(self) -> dict[str, nn.Module]:
        """Return the same: there is no average of it."""
        return self.networks()

    def rates(self) -> dict[str, float]:
        """Return the learning rate at the start of a period."""
        return {PART: self.config.lr}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Copy arrays in by their names; any subset of :meth:`arrays` will do, and the others stay.

        Raises:
            ValueError: An array has a name that is none of these, or another shape.
        """
        own = {f"{PART}.{name}": value for name, value in self.network.state_dict().items()}
        copy_in(own, arrays, f"classification.network {self.config.network!r}")

    def logits(self, tiles: NDArray[np.uint8], batch_size: int = 256) -> NDArray[np.float32]:
        """Judge tiles as they are, without augmentation, dropout or statistics of their batch.

        Args:
            tiles: [N, H, W, C] uint8.
            batch_size: Tiles per forward pass; does not change the result but to rounding.

        Returns:
            [N, num_labels] float32: their softmax is what the network takes each label's probability for.

        Raises:
            DivergedError: A logit is not finite.
        """
        training = self.network.training
        self.network.eval()
        found = [np.empty((0, self.shape.num_labels), np.float32)]
        try:
            with torch.inference_mode(), self.autocast():
                for start in range(0, len(tiles), batch_size):
                    batch = to_float(torch.from_numpy(np.array(tiles[start : start + batch_size])).to(self.device))
                    found.append(self.network(batch.to(memory_format=torch.channels_last)).float().cpu().numpy())
        finally:
            self.network.train(training)
        logits = np.concatenate(found)
        if not np.isfinite(logits).all():
            raise DivergedError("the classifier's logits are not finite; a smaller classification.lr may help")
        return logits
