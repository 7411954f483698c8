"""Seconds of one optimiser step, and of tiles that are made: measured in this process, for a budget."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from fedray.config import ExperimentConfig
from fedray.data import tile_shape
from fedray.federation import client_half
from fedray.learning import training_device
from fedray.tasks import task_of

_FEWEST = 2  # tiles of the first steps; four times as many follow as long as that takes no longer than patience has
_MOST_STEPS = 5


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step of each network.

    Attributes:
        seconds: Of a step, by network.
        batch_size: Tiles of the steps that they hold for.
        timed_tiles: Tiles of the steps that were timed: fewer where so many would have taken too long.
        device: Where: ``cpu`` or ``cuda``.
    """

    seconds: Mapping[str, float]
    batch_size: int
    timed_tiles: int
    device: str

    def of_all(self, config: ExperimentConfig) -> float:
        """Seconds of an optimiser step with its share of the counted network's, which comes every so many of them."""
        task = task_of(config)
        counted_s = self.seconds[task.COUNTED]
        return sum(self.seconds.values()) - counted_s + counted_s / task.steps_between(config)


def time_steps(config: ExperimentConfig, batch_size: int, num_threads: int, patience_s: float = 1.0) -> StepTime:
    """Take a few steps of an experiment's networks on random tiles, for a second or two.

    Networks so large that the steps of a whole batch would take longer are timed on fewer tiles, and the rest is the
    line through what was timed. What is to be compiled is timed as it is, for compiling alone takes minutes.

    Args:
        config: Of the experiment.
        batch_size: Tiles of a step, >= 2.
        num_threads: That PyTorch computes with on the CPU, as in a worker.
        patience_s: Seconds that a step of all networks may take; one that takes longer is not interrupted.

    Raises:
        ModelError: The networks cannot be built.
    """
    device, threads_before = training_device(config.resources), torch.get_num_threads()
    config = config.model_copy(update={config.task: config.family.uncompiled()})
    learner = task_of(config).fresh(config, tile_shape(config.data), device)
    stepper = task_of(config).stepper(config, learner, client_half(config).begin(learner, {}, {}))
    torch.set_num_threads(num_threads)
    try:
        # Dropout draws from PyTorch's global state, which is not ours to move.
        with torch.random.fork_rng(devices=[stepper.device] if stepper.device.type == "cuda" else []):
            seconds, timed_tiles = _timed(stepper.take, batch_size, patience_s)
            return StepTime(seconds, batch_size, timed_tiles, stepper.device.type)
    finally:
        torch.set_num_threads(threads_before)
        stepper.close()


def time_tiles(config: ExperimentConfig, num_tiles: int, patience_s: float = 1.0) -> float:
    """Say how many seconds it takes this process to make tiles, for what they are judged by; from fewer, as steps are.

    Args:
        config: Of an experiment whose task makes tiles.
        num_tiles: At least 2.
        patience_s: Seconds that making some may take.
    """
    device, shape = training_device(config.resources), tile_shape(config.data)
    sampler = task_of(config).fresh(config, shape, device)

    def make(num: int) -> Mapping[str, float]:
        started = time.perf_counter()
        sampler.sample(np.arange(num) % shape.num_labels, torch.Generator().manual_seed(0))
        return {"tiles": time.perf_counter() - started}

    return _timed(make, num_tiles, patience_s)[0]["tiles"]


def _timed(
    take: Callable[[int], Mapping[str, float]], num_wanted: int, patience_s: float
) -> tuple[Mapping[str, float], int]:
    """Return the seconds of something done with so many tiles, and with how many it was timed.

    Args:
        take: Does it with some tiles, and returns the seconds of its parts.
        num_wanted: At least 2.
        patience_s: Seconds that it may take.
    """
    num, first = _FEWEST, take(_FEWEST)  # imports, fills caches and allocates
    taken = {num: [first if _sum(first) > 10 * patience_s else take(num)]}
    while num < num_wanted and _sum(_expected(taken, min(4 * num, num_wanted))) <= patience_s:
        num = min(4 * num, num_wanted)
        taken[num] = [take(num)]
    while len(taken[num]) < _MOST_STEPS and sum(map(_sum, taken[num])) < patience_s / 2:
        taken[num].append(take(num))
    return _expected(taken, num_wanted), num


def _expected(taken: Mapping[int, list[Mapping[str, float]]], num: int) -> Mapping[str, float]:
    """Seconds of each part with so many tiles: on the line through the two largest numbers that were timed.

    Through one and the origin, where there is no other: a part that does not grow is taken for one that does.
    """
    most, expected = max(taken), {}
    for part in taken[most][0]:
        medians = {0: 0.0} | {tiles: median(each[part] for each in times) for tiles, times in taken.items()}
        fewer = sorted(medians)[-2]
        slope = (medians[most] - medians[fewer]) / (most - fewer)
        expected[part] = medians[most] + max(0.0, slope) * (num - most)
    return expected


def _sum(seconds: Mapping[str, float]) -> float:
    return sum(seconds.values())
