"""Single steps of both networks on random tiles, and how long each takes."""

import time
from collections.abc import Mapping, Sequence

import torch

from fedray.learning import Condition, Hook
from fedray.tasks.gan.gan import Gan
from fedray.tasks.gan.optimizers import Optimizers
from fedray.tasks.gan.steps import GanSteps


class GanStepper:
    """Takes a discriminator step, with its penalty and the tiles generated for it, and then a generator step."""

    def __init__(self, gan: Gan, hooks: Sequence[Hook]) -> None:
        """Train these networks, in place.

        Args:
            gan: On its device.
            hooks: What adds to losses, or changes gradients before they are used.
        """
        self.device = gan.device
        self._gan = gan
        self._steps = GanSteps(gan, Optimizers(gan), torch.Generator(gan.device).manual_seed(0), hooks)
        gan.generator.train()
        gan.discriminator.train()

    def take(self, num_tiles: int) -> Mapping[str, float]:
        """Take a step of each network; returns the seconds of both."""
        gan, shape, steps = self._gan, self._gan.shape, self._steps
        layout = torch.channels_last if gan.config.channels_last else torch.contiguous_format
        tiles = torch.rand(num_tiles, shape.channels, shape.size, shape.size).mul(2).sub(1).to(gan.device)
        condition = Condition(steps.draw(shape.num_labels, num_tiles), steps.draw(shape.num_domains, num_tiles))
        tiles = tiles.contiguous(memory_format=layout)
        started = self._now()
        steps.discriminator(tiles, condition)
        between = self._now()
        steps.generator(condition)
        return {"discriminator": between - started, "generator": self._now() - between}

    def close(self) -> None:
        """Let go of the gradients."""
        for network in (self._gan.generator, self._gan.discriminator):
            network.zero_grad(set_to_none=True)

    def _now(self) -> float:
        """Read the clock when the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
