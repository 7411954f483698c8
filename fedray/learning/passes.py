"""A local pass, whatever is trained: its batches, its losses, and what it says it did."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedray.data import LabelledTiles
from fedray.learning.augmentation import turn_and_flip
from fedray.learning.conditions import Condition
from fedray.learning.pixels import to_float
from fedray.randomness import derive_seed

Losses = dict[str, Tensor]
"""Of one step, by name; ``loss`` is the one that is minimised."""


@dataclass(frozen=True)
class PassReport:
    """What a local pass did."""

    num_examples: int
    """The client's tiles."""
    losses: dict[str, float]
    """Means over the steps, named ``NETWORK/*``; 0 where that network took no step."""
    steps: dict[str, int]
    """Steps taken, by network."""


def steps_per_round(num_tiles: int, batch_size: int, local_epochs: int, local_steps: int | None) -> int:
    """Steps a client takes in a round: ``local_steps``, or the batches of ``local_epochs`` epochs.

    They are a GAN's discriminator steps.
    """
    return local_steps if local_steps is not None else local_epochs * len(batch_bounds(num_tiles, batch_size))


def batch_bounds(num_tiles: int, batch_size: int) -> list[tuple[int, int]]:
    """Cut an epoch's order into batches, each from one position up to another.

    No batch has a single tile where there are more: BatchNorm has no statistics of one, and refuses it. A tile that
    would be left over alone joins the batch before it.

    Args:
        num_tiles: Of the client.
        batch_size: Tiles a batch, >= 2.
    """
    starts = list(range(0, num_tiles, batch_size))
    if len(starts) > 1 and num_tiles - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], num_tiles], strict=True))


class RunningMeans:
    """Means of named losses over steps, kept on the device: reading a loss every step would stall a GPU."""

    def __init__(self, terms: Mapping[str, Iterable[str]]) -> None:
        """Start at zero for every term of each network: all clients report the same names."""
        self._sums: dict[str, Tensor | float] = {f"{net}/{term}": 0.0 for net in terms for term in terms[net]}
        self._steps = dict.fromkeys(terms, 0)

    def add(self, network: str, losses: Losses) -> bool:
        """Add one step's losses under ``network/name``. Returns whether the minimised one is finite."""
        self._steps[network] += 1
        for name, value in losses.items():
            self._sums[f"{network}/{name}"] += value
        return bool(torch.isfinite(losses["loss"]))

    def report(self, num_examples: int) -> PassReport:
        """Divide by the steps of each network."""
        means = {key: float(total) / max(1, self._steps[key.split("/")[0]]) for key, total in self._sums.items()}
        return PassReport(num_examples, means, dict(self._steps))


def shuffled_batches(
    client: LabelledTiles, batch_size: int, device: torch.device, seed: int, *, augment: bool, channels_last: bool
) -> Iterator[tuple[Tensor, Condition]]:
    """Yield shuffled batches for ever, epoch after epoch: tiles [B, C, H, W] float32 in [-1, 1] and their condition.

    B is at least 2 (see :func:`batch_bounds`): a client with one tile has it twice in every batch.

    Args:
        client: At least one tile.
        batch_size: Tiles a batch, >= 2.
        device: Where the batches are.
        seed: Address of the order and of the augmentation.
        augment: Whether every tile is turned and flipped at random.
        channels_last: Whether the batches lie in memory as the pixels do, channel by channel.
    """
    pixels = torch.from_numpy(np.array(client.tiles)).to(device)
    condition = Condition(*(torch.from_numpy(np.array(part, np.int64)).to(device) for part in client[1:]))
    random = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    layout = torch.channels_last if channels_last else torch.preserve_format
    while True:
        order = torch.randperm(len(pixels), generator=random)
        order = order.repeat(2) if len(order) == 1 else order
        for start, end in batch_bounds(len(order), batch_size):
            indices = order[start:end].to(device)
            batch = to_float(pixels[indices]).to(memory_format=layout)
            yield turn_and_flip(batch, random) if augment else batch, condition.chosen(indices)
