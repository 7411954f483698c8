"""How many steps the networks of an experiment will take: known before it starts, from partition and configuration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import client_partition
from fedray.federation.md_gan import iterations_per_round
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
        round_steps: Discriminator steps of each client in a round that it takes part in, int64 [client].
        per_round: Fewest and most generator steps of a round, over all its clients: what a round reports.
        total: Generator steps of all rounds, over all clients.
        in_a_row: Steps of the generator that a client ends with, one after another, float64 [client]: averaging hands
            it on from round to round, and only generators that stay with their clients wait while those are not drawn.
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
    tiles, rounds = partition.sizes(), federation.num_rounds
    steps, row = client_round_steps(config, tiles), steps_in_a_row(config, tiles)
    if federation.mode == "md-gan":
        each = iterations_per_round(config, tiles)
        return StepBudget(tiles, partition.unused, steps, (each, each), each * rounds, row)
    all_drawn = federation.client_fraction == 1  # then, after n_critic rounds, the same ones come again
    counted = min(rounds, steps_between(config) if all_drawn else max(1, _COUNTED // (100 + len(tiles))))
    of_rounds = np.array([round_generator_steps(config, index, steps) for index in range(1, counted + 1)])
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
    federation, n_critic = config.federation, steps_between(config)
    row = (federation.num_rounds * client_round_steps(config, tiles) // n_critic).astype(np.float64)
    return row * federation.client_fraction if federation.aggregate == "discriminator" else row


def client_round_steps(config: ExperimentConfig, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Discriminator steps, int64 [client], in a round that clients of so many tiles, int64 [client], take part in."""
    federation = config.federation
    if federation.mode == "md-gan":
        return np.full(len(tiles), iterations_per_round(config, tiles) * steps_between(config), np.int64)
    sizes, places = np.unique(tiles, return_inverse=True)
    steps = [task_of(config).steps(config, int(n)) for n in sizes]
    return np.array(steps, np.int64)[places]


def round_generator_steps(config: ExperimentConfig, round_index: int, steps: NDArray[np.int64]) -> int:
    """Generator steps of one round over the clients that are drawn for it, not in MD-GAN.

    Args:
        config: Of the experiment.
        round_index: 1 for the first.
        steps: Of :func:`client_round_steps`.
    """
    n_critic = steps_between(config)
    taken = round_index * steps // n_critic - (round_index - 1) * steps // n_critic
    if config.federation.client_fraction < 1:
        everyone = list(range(len(steps)))
        taken = taken[sample_clients(everyone, config.federation.client_fraction, config.seed, round_index)]
    return int(taken.sum())


def steps_between(config: ExperimentConfig) -> int:
    """Steps of a client from one that is reported to the next: a GAN's generator steps every n_critic-th time."""
    return config.gan.recipe.n_critic if config.task == "gan" else 1
