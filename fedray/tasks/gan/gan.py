"""A GAN as one value: its networks, the moving average of its generator, and all of them as named arrays."""

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Arrays, copies_of, make_tiles, wanted_condition, warm_decay
from fedray.randomness import derive_seed
from fedray.tasks.gan.conditions import sample_noise
from fedray.tasks.gan.discriminators import make_discriminator
from fedray.tasks.gan.generators import GENERATORS
from fedray.tasks.gan.objectives import OBJECTIVES

GENERATOR_PARTS = ("generator", "generator_ema")
DISCRIMINATOR_PARTS = ("discriminator",)
PARTS = GENERATOR_PARTS + DISCRIMINATOR_PARTS


class Gan:
    """Generator, discriminator, and the generator's exponential moving average, which is what is evaluated.

    Arrays are named by part: ``generator.*``, ``generator_ema.*``, ``discriminator.*``.
    """

    def __init__(
        self,
        config: GanConfig,
        shape: TileShape,
        seed: int,
        device: str | torch.device = "cpu",
        *,
        load_weights: bool = True,
    ) -> None:
        """Build the networks with weights drawn from the stream ``(seed, "weights")``.

        Args:
            config: Of the networks and the objective, which decides on the discriminator's heads.
            shape: Of the tiles.
            seed: Of the experiment.
            device: Where they compute.
            load_weights: Whether to load ImageNet weights where they are configured; off where :meth:`load` follows.

        Raises:
            ModelError: The configured networks cannot be built.
        """
        self.config, self.device = config, torch.device(device)
        make_generator = GENERATORS[config.generator]
        # A discriminator that judges by domain asks for what only a generator that knows the domain can give.
        self.shape = shape if make_generator.uses_domains else shape._replace(num_domains=1)
        # Layers initialise themselves from PyTorch's global state; the fork keeps that state ours alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            generator = make_generator(config, self.shape)
            objective = OBJECTIVES[config.objective]
            discriminator = make_discriminator(
                config, self.shape, objective.conditioning, linear=objective.linear, load_weights=load_weights
            )
        self.noise_length = generator.noise_length
        layout = torch.channels_last if config.channels_last else torch.preserve_format
        self.generator: nn.Module = generator.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.discriminator: nn.Module = discriminator.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.generator_ema: nn.Module = copy.deepcopy(self.generator).eval().requires_grad_(False)
        if config.compile:
            self.generator.compile()
            self.discriminator.compile()

    def autocast(self) -> torch.autocast:
        """Compute in the configured precision within a ``with`` block."""
        enabled = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    def arrays(self, names: Iterable[str] = PARTS) -> Arrays:
        """Return copies of parameters and buffers, keyed ``part.name``.

        Args:
            names: Of arrays, or of parts, which stand for all their arrays.
        """
        return copies_of(self.parts(), names)

    def trained(self, parts: Iterable[str] = PARTS) -> list[str]:
        """Return the names of the named parts' parameters that optimisers train, keyed ``part.name``.

        No buffers, no moving average, nothing frozen.
        """
        return [
            f"{part}.{name}"
            for part in parts
            for name, parameter in getattr(self, part).named_parameters()
            if parameter.requires_grad
        ]

    def networks(self) -> dict[str, nn.Module]:
        """Return both networks."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def parts(self) -> dict[str, nn.Module]:
        """Return both networks and the average."""
        return {part: getattr(self, part) for part in PARTS}

    def rates(self) -> dict[str, float]:
        """Return the learning rates of both networks."""
        recipe = self.config.recipe
        return {"generator": recipe.generator_lr, "discriminator": recipe.discriminator_lr}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Copy arrays, any of those that :meth:`arrays` returns; the others stay as they are.

        Raises:
            ValueError: There is no array of a name, or it has another shape.
        """
        by_part: dict[str, dict[str, Tensor]] = {}
        for name, value in arrays.items():
            part, _, rest = name.partition(".")
            by_part.setdefault(part, {})[rest] = torch.from_numpy(np.array(value))
        for part, own in by_part.items():
            if part not in PARTS:
                raise ValueError(f"there is no {part!r} in this configuration, only {', '.join(PARTS)}")
            try:
                unknown = getattr(self, part).load_state_dict(own, strict=False).unexpected_keys
            except RuntimeError as error:
                raise ValueError(f"the arrays do not fit the {part} of this configuration: {error}") from None
            if unknown:
                raise ValueError(f"the arrays do not fit the {part} of this configuration: it has no {unknown[0]!r}")

    def update_ema(self, num_updates: int) -> None:
        """Move the average towards the generator.

        Args:
            num_updates: Generator steps taken before this one; the decay warms up over them (:func:`warm_decay`).
        """
        decay = warm_decay(self.config.ema_decay, num_updates)
        with torch.no_grad():
            averages = self.generator_ema.state_dict().values()
            for average, value in zip(averages, self.generator.state_dict().values(), strict=True):
                if average.is_floating_point():
                    average.lerp_(value, 1 - decay)
                else:  # counters of batch norm
                    average.copy_(value)

    def sample(
        self,
        labels: NDArray[np.int64],
        random: torch.Generator,
        domains: NDArray[np.int64] | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.uint8]:
        """Generate tiles with the averaged generator.

        Args:
            labels: [N] int64.
            random: CPU stream for the noise, so that every device draws the same.
            domains: [N] int64; unset: all in turn.
            batch_size: Tiles per forward pass (:func:`make_tiles`).

        Returns:
            [N, H, W, C] uint8.

        Raises:
            DivergedError: A tile is not finite, which no uint8 can say.
        """
        noise = sample_noise(len(labels), self.noise_length, random)
        wanted = wanted_condition(labels, domains, self.shape.num_domains)
        with torch.inference_mode(), self.autocast():
            diverged = "the generator's tiles are not finite; smaller learning rates may help"
            return make_tiles(self.generator_ema, noise, wanted, self.device, batch_size, diverged=diverged)
