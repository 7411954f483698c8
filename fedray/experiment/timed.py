"""Seconds of one optimiser step, measured on random tiles in this process: what a budget's seconds are made of."""

import time
from dataclasses import dataclass
from statistics import median

import torch

from fedray.config import ExperimentConfig
from fedray.data import tile_shape
from fedray.federation import client_half
from fedray.learning import Condition, training_device
from fedray.tasks.gan import Gan, GanSteps, Optimizers, fresh_gan

_FEWEST = 2  # tiles of the first steps; four times as many follow as long as that takes no longer than patience has
_MOST_PAIRS = 5


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step of each network.

    Attributes:
        discriminator_s: Seconds of a discriminator step, with its penalty and the tiles generated for it.
        generator_s: Seconds of a generator step.
        batch_size: Tiles of the steps that they hold for.
        timed_tiles: Tiles of the steps that were timed: fewer where so many would have taken too long.
        device: Where: ``cpu`` or ``cuda``.
    """

    discriminator_s: float
    generator_s: float
    batch_size: int
    timed_tiles: int
    device: str


def time_steps(config: ExperimentConfig, batch_size: int, num_threads: int, patience_s: float = 1.0) -> StepTime:
    """Take a few steps of an experiment's GAN on random tiles, for a second or two.

    Networks so large that the steps of a whole batch would take longer are timed on fewer tiles, and the rest is
    proportion. What is to be compiled is timed as it is, for compiling alone takes minutes.

    Args:
        config: Of the experiment.
        batch_size: Tiles of a step, >= 2.
        num_threads: That PyTorch computes with on the CPU, as in a worker.
        patience_s: Seconds that a step of both networks may take; one that takes longer is not interrupted.

    Raises:
        ModelError: The networks cannot be built.
    """
    config = config.model_copy(update={"gan": config.gan.model_copy(update={"compile": False})})
    device, threads_before = training_device(config.resources), torch.get_num_threads()
    gan = fresh_gan(config.gan, tile_shape(config.data), config.seed, device)
    hooks = client_half(config).begin(gan, {}, {})
    steps = GanSteps(gan, Optimizers(gan), torch.Generator(gan.device).manual_seed(0), hooks)
    torch.set_num_threads(num_threads)
    try:
        # Dropout draws from PyTorch's global state, which is not ours to move.
        with torch.random.fork_rng(devices=[gan.device] if gan.device.type == "cuda" else []):
            return _timed(steps, batch_size, patience_s)
    finally:
        torch.set_num_threads(threads_before)
        for network in (gan.generator, gan.discriminator):
            network.zero_grad(set_to_none=True)


def _timed(steps: GanSteps, batch_size: int, patience_s: float) -> StepTime:
    steps.gan.generator.train()
    steps.gan.discriminator.train()
    num, first = _FEWEST, _pair(steps, _FEWEST)  # imports, fills caches and allocates
    pairs = [first if sum(first) > 10 * patience_s else _pair(steps, num)]
    while num < batch_size and sum(pairs[0]) * (larger := min(4 * num, batch_size)) / num <= patience_s:
        num, pairs = larger, [_pair(steps, larger)]
    while len(pairs) < _MOST_PAIRS and sum(map(sum, pairs)) < patience_s / 2:
        pairs.append(_pair(steps, num))
    discriminator_s, generator_s = (median(seconds) * batch_size / num for seconds in zip(*pairs, strict=True))
    return StepTime(discriminator_s, generator_s, batch_size, num, steps.gan.device.type)


def _pair(steps: GanSteps, num_tiles: int) -> tuple[float, float]:
    """Take a step of each network; returns the seconds of both."""
    gan, shape = steps.gan, steps.gan.shape
    layout = torch.channels_last if gan.config.channels_last else torch.contiguous_format
    tiles = torch.rand(num_tiles, shape.channels, shape.size, shape.size).mul(2).sub(1).to(gan.device)
    condition = Condition(steps.draw(shape.num_labels, num_tiles), steps.draw(shape.num_domains, num_tiles))
    tiles = tiles.contiguous(memory_format=layout)
    started = _now(gan)
    steps.discriminator(tiles, condition)
    between = _now(gan)
    steps.generator(condition)
    return between - started, _now(gan) - between


def _now(gan: Gan) -> float:
    """Read the clock when the device has done what it was given."""
    if gan.device.type == "cuda":
        torch.cuda.synchronize(gan.device)
    return time.perf_counter()
