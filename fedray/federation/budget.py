"""How many steps the networks of an experiment will take: known before it starts, from partition and configuration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import client_partition, training_sizes
from fedray.federation.rounds import round_of
from fedray.federation.sampling import sample_clients
from fedray.tasks import task_of

_COUNTED = 500_000
"""Clients times rounds that are counted one by one; of more, the first rounds stand for all."""


@dataclass(frozen=True)
class StepBudget:
    """The steps of an experiment.

    Attributes:
        tiles: Training tiles of each client, int64 [client].
        unused: Training tiles that no client gets.
        round_steps: Optimiser steps of each client in a round that it takes part in, int64 [client].
        per_round: Fewest and most steps of the counted network in a round, over all clients: what a round reports.
        total: Its steps of all rounds, over all clients.
        in_a_row: Its steps that a client ends with, one after another, float64 [client]: averaging hands the network on
            from round to round, and only one that stays with its client waits while that is not drawn.
    """

    tiles: NDArray[np.int64]
    unused: int
    round_steps: NDArray[np.int64]
    per_round: tuple[int, int]
    total: int
    in_a_row: NDArray[np.float64]


def step_budget(config: ExperimentConfig) -> StepBudget:
    """Count the steps of an experiment in which no client fails.

    Raises:
        ValueError: The partition is impossible.
    """
    partition, federation = client_partition(config), config.federation
    tiles, rounds = training_sizes(config), federation.num_rounds
    steps, row = round_of(config).client_steps(config, tiles), steps_in_a_row(config, tiles)
    between = task_of(config).steps_between(config)
    if round_of(config).LOCKSTEP:
        each = int(steps[0]) // between
        return StepBudget(tiles, partition.unused, steps, (each, each), each * rounds, row)
    all_drawn = federation.client_fraction == 1  # then, after so many rounds, the same ones come again
    counted = min(rounds, between if all_drawn else max(1, _COUNTED // (100 + len(tiles))))
    of_rounds = np.array([round_counted_steps(config, index, steps) for index in range(1, counted + 1)])
    return StepBudget(
        tiles=tiles,
        unused=partition.unused,
        round_steps=steps,
        per_round=(int(of_rounds.min()), int(of_rounds.max())),
        total=int(row.sum()) if all_drawn else round(of_rounds.sum() * rounds / counted),
        in_a_row=row,
    )


def steps_in_a_row(config: ExperimentConfig, tiles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count what :attr:`StepBudget.in_a_row` says, for clients of so many tiles, int64 [client]."""
    federation, task = config.federation, task_of(config)
    steps = federation.num_rounds * round_of(config).client_steps(config, tiles)
    row = (steps // task.steps_between(config)).astype(np.float64)
    return row * federation.client_fraction if task.COUNTED in task.private(config) else row


def round_counted_steps(config: ExperimentConfig, round_index: int, steps: NDArray[np.int64]) -> int:
    """Steps of the counted network in one round over the clients that are drawn for it, where each takes its own.

    Args:
        config: Of the experiment.
        round_index: 1 for the first.
        steps: Of the clients, int64 [client].
    """
    between = task_of(config).steps_between(config)
    taken = round_index * steps // between - (round_index - 1) * steps // between
    if config.federation.client_fraction < 1:
        everyone = list(range(len(steps)))
        taken = taken[sample_clients(everyone, config.federation.client_fraction, config.seed, round_index)]
    return int(taken.sum())
