"""Seconds of one optimiser step, measured on random tiles in this process: what a budget's seconds are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import torch

from fedray.config import ExperimentConfig
from fedray.data import tile_shape
from fedray.federation import client_half
from fedray.learning import training_device
from fedray.tasks import Stepper, task_of

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

    Networks so large that the steps of a whole batch would take longer are timed on fewer tiles, and the rest is
    proportion. What is to be compiled is timed as it is, for compiling alone takes minutes.

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
            return _timed(stepper, batch_size, patience_s)
    finally:
        torch.set_num_threads(threads_before)
        stepper.close()


def _timed(stepper: Stepper, batch_size: int, patience_s: float) -> StepTime:
    num, first = _FEWEST, stepper.take(_FEWEST)  # imports, fills caches and allocates
    taken = [first if _sum(first) > 10 * patience_s else stepper.take(num)]
    while num < batch_size and _sum(taken[0]) * (larger := min(4 * num, batch_size)) / num <= patience_s:
        num, taken = larger, [stepper.take(larger)]
    while len(taken) < _MOST_STEPS and sum(map(_sum, taken)) < patience_s / 2:
        taken.append(stepper.take(num))
    seconds = {network: median(step[network] for step in taken) * batch_size / num for network in first}
    return StepTime(seconds, batch_size, num, stepper.device.type)


def _sum(seconds: Mapping[str, float]) -> float:
    return sum(seconds.values())
