"""What a federation asks of a family of models; each family answers in a module of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import LabelledTiles, TileShape
from fedray.learning import Arrays, Hook, PassReport


class Moments(Protocol):
    """The optimisers of a learner's networks."""

    def arrays(self) -> Arrays:
        """Return copies of their moments and counts, by name."""
        ...

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on with what :meth:`arrays` returned."""
        ...


class Pass(NamedTuple):
    """One local pass: a client's part of a round."""

    num_steps: int
    """Optimiser steps, those that :meth:`Task.steps` counts."""
    steps_before: int
    """Those that this client took in earlier rounds."""
    seed: int
    """Address of all its draws."""
    hooks: Sequence[Hook] = ()
    """What adds to losses, or changes gradients before they are used."""


class Task(Protocol):
    """A module ``task.py`` in the folder of a family."""

    def make(self, config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Any:
        """Build a :class:`fedray.learning.Learner` as it is before round 1.

        Args:
            config: Of the experiment.
            shape: Of the tiles.
            device: Where it computes.
            load_weights: Whether ImageNet weights are wanted, if they are configured.

        Raises:
            ModelError: The networks cannot be built.
        """
        ...

    def fresh(self, config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Any:
        """Return the same, built once a process and put back every time: it is valid until the next call.

        Building a large network and reading its ImageNet weights takes longer than a client's round may.
        """
        ...

    def training(self, config: ExperimentConfig, tiles: LabelledTiles, client: int) -> LabelledTiles:
        """Return which of a client's tiles it trains on."""
        ...

    def optimizers(self, learner: Any) -> Moments:
        """Make fresh optimisers of a learner."""
        ...

    def steps(self, config: ExperimentConfig, num_tiles: int) -> int:
        """Count the optimiser steps of a round of a client with so many tiles to train on."""
        ...

    def train(
        self, config: ExperimentConfig, learner: Any, optimizers: Any, tiles: LabelledTiles, a_pass: Pass
    ) -> PassReport:
        """Train a learner on a client's tiles, in place."""
        ...

    def shared(self, config: ExperimentConfig) -> Sequence[str]:
        """Name the parts that travel: the server has them."""
        ...

    def private(self, config: ExperimentConfig) -> Sequence[str]:
        """Name the parts that stay with each client."""
        ...

    def weights_file(self, config: ExperimentConfig) -> Path | None:
        """Return the file that initial weights come from; None where there is none."""
        ...
