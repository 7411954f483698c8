"""A velocity network as one value: with its moving average, the tiles it makes, and all of it as named arrays."""

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedray.config import FlowConfig
from fedray.data import TileShape
from fedray.learning import (
    Arrays,
    Condition,
    computes_in_bfloat16,
    copies_of,
    copy_in,
    make_tiles,
    wanted_condition,
    warm_decay,
)
from fedray.randomness import derive_seed
from fedray.tasks.flow.network import NETWORKS, UNet
from fedray.tasks.flow.samplers import SAMPLERS, guided

PART, AVERAGE = "network", "network_ema"
PARTS = (PART, AVERAGE)


class Flow:
    """The network, and its exponential moving average, which is what makes tiles.

    Arrays are named by part: ``network.*``, ``network_ema.*``.
    """

    def __init__(self, config: FlowConfig, shape: TileShape, seed: int, device: str | torch.device = "cpu") -> None:
        """Build the network with weights drawn from the stream ``(seed, "weights")``.

        Args:
            config: Of the network and of what is done with it.
            shape: Of the tiles.
            seed: Of the experiment.
            device: Where it computes.

        Raises:
            ModelError: The network does not go with such tiles.
        """
        self.config, self.shape, self.device = config, shape, torch.device(device)
        # Layers initialise themselves from PyTorch's global state; the fork keeps that state ours alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            network = NETWORKS[config.network](config, shape)
        self.network: UNet = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network_ema: nn.Module = copy.deepcopy(self.network).eval().requires_grad_(False)

    def autocast(self) -> torch.autocast:
        """Compute in the configured precision within a ``with`` block."""
        chosen = self.config.precision
        enabled = computes_in_bfloat16(self.device) if chosen == "auto" else chosen == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    def arrays(self, names: Iterable[str] = PARTS) -> Arrays:
        """Return copies of parameters, keyed ``part.name``.

        Args:
            names: Of arrays, or of parts, which stand for all their arrays.
        """
        return copies_of(self.parts(), names)

    def trained(self, parts: Iterable[str] = PARTS) -> list[str]:
        """Return the names of the named parts' parameters that an optimiser trains: none of the average's."""
        return [f"{PART}.{name}" for name, _ in self.network.named_parameters()] if PART in set(parts) else []

    def networks(self) -> dict[str, nn.Module]:
        """Return the one network that is trained."""
        return {PART: self.network}

    def parts(self) -> dict[str, nn.Module]:
        """Return the network and its average."""
        return {PART: self.network, AVERAGE: self.network_ema}

    def rates(self) -> dict[str, float]:
        """Return the largest learning rate."""
        return {PART: self.config.lr}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Copy arrays in by their names; any subset of :meth:`arrays` will do, and the others stay.

        Raises:
            ValueError: There is no array of a name, or it has another shape.
        """
        own = {
            f"{part}.{name}": value
            for part, network in self.parts().items()
            for name, value in network.state_dict().items()
        }
        copy_in(own, arrays, f"flow.network {self.config.network!r}")

    def update_average(self, num_updates: int) -> None:
        """Move the average towards the network.

        It is kept by every client and averaged over them as the network is.

        Args:
            num_updates: Steps taken before this one; the decay warms up over them (:func:`warm_decay`).
        """
        share = 1 - warm_decay(self.config.ema_decay, num_updates)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.network_ema.parameters()), list(self.network.parameters()), share)

    def sample(
        self,
        labels: NDArray[np.int64],
        random: torch.Generator,
        domains: NDArray[np.int64] | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.uint8]:
        """Make tiles with the averaged network.

        Args:
            labels: [N] int64; -1 is no label.
            random: CPU stream for the noise, so that every device draws the same.
            domains: [N] int64, -1 is no domain; unset: all in turn.
            batch_size: Tiles at a time (:func:`make_tiles`).

        Returns:
            [N, H, W, C] uint8.

        Raises:
            DivergedError: A tile is not finite, which no uint8 can say.
        """
        size = self.shape.size
        noise = torch.randn(len(labels), self.shape.channels, size, size, generator=random)
        wanted = wanted_condition(labels, domains, self.shape.num_domains)
        with torch.inference_mode(), self.autocast():
            diverged = "the network's tiles are not finite; a smaller flow.lr may help"
            return make_tiles(self._made, noise, wanted, self.device, batch_size, diverged=diverged)

    def _made(self, noise: Tensor, condition: Condition) -> Tensor:
        velocity = guided(self.network_ema, condition, self.config.guidance)
        return SAMPLERS[self.config.sampler](velocity, noise, self.config.steps)


class LabelledSampler(nn.Module):
    """The averaged network and its sampler as others call them: noise, labels, perhaps domains in, tiles out."""

    def __init__(self, flow: Flow) -> None:
        """Take the network and the options of its sampler."""
        super().__init__()
        self.network = flow.network_ema
        self._sampler, self._steps, self._guidance = (
            SAMPLERS[flow.config.sampler],
            flow.config.steps,
            flow.config.guidance,
        )

    def forward(self, noise: Tensor, labels: Tensor, domains: Tensor | None = None) -> Tensor:
        """Make tiles [N, C, size, size] float32, about in [-1, 1], of standard normal noise of that shape.

        Args:
            noise: [N, C, size, size] float32.
            labels: [N] int64; -1 is no label.
            domains: [N] int64; -1 is no domain.
        """
        condition = Condition(labels, torch.zeros_like(labels) if domains is None else domains)
        solve = self._sampler.as_graph if torch.compiler.is_exporting() else self._sampler
        return solve(guided(self.network, condition, self._guidance), noise, self._steps)
