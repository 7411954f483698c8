"""What a federation asks of a family of models; each family answers in a module of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

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


class Exported(NamedTuple):
    """What was trained, as a module that anybody loads without FedRay."""

    name: str
    """Of the model, and what kind it is."""
    module: nn.Module
    """In evaluation mode on the CPU."""
    inputs: tuple[torch.Tensor, ...]
    """One batch of two of its arguments."""
    takes_domains: bool
    """Whether a domain is the last of its arguments."""
    facts: Mapping[str, object]
    """What else a reader of the model must know of it, as plain values."""


class Stepper(Protocol):
    """Takes single optimiser steps on random tiles, to see how long they take."""

    device: torch.device
    """Where."""

    def take(self, num_tiles: int) -> Mapping[str, float]:
        """Take a step of each network on so many tiles; returns the seconds of each by its name."""
        ...

    def close(self) -> None:
        """Let go of the gradients."""
        ...


class Enough(NamedTuple):
    """How many steps in a row show something, as was measured."""

    what: str
    """What is seen after them."""
    steps: int
    noise: int
    """Steps below which there is hardly more than noise."""


class Task(Protocol):
    """A module ``task.py`` in the folder of a family."""

    ABILITY: Literal["samples", "labels"]
    """What its learner can do, and is judged by: a :class:`Sampler` makes tiles of labels, a :class:`Classifier` says
    the labels of tiles."""
    COUNTED: str
    """Network whose steps are told to people."""
    LOSSES: Mapping[str, str]
    """Networks whose losses are told, by short headings."""
    INITIALISED: str
    """Part that may begin with weights of a file."""
    STEP_FIELDS: Sequence[str]
    """Fields of its section that the number of steps depends on."""
    ENOUGH: Enough | None
    """How many steps of the counted network show something; None where nobody has measured it."""

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

    def judged(self, config: ExperimentConfig) -> Sequence[str]:
        """Name the parts with which its ability is judged."""
        ...

    def holding(self, config: ExperimentConfig, shape: TileShape, device: str, arrays: Arrays) -> Any:
        """Return a learner with some arrays in it, and whatever was there before in the others: to be judged by those.

        As of :meth:`fresh`, it is valid until the next call.
        """
        ...

    def exported(self, config: ExperimentConfig, shape: TileShape, arrays: Arrays) -> Exported:
        """Make a module of the parts that are judged.

        Raises:
            DivergedError: An array is not finite.
        """
        ...

    def flattered_by(self, config: ExperimentConfig) -> str | None:
        """Name the features that it trains against, in which it would look better than it is; None: against none."""
        ...

    def steps_between(self, config: ExperimentConfig) -> int:
        """Count the steps of a client from one of the counted network to the next."""
        ...

    def fewer(self, config: ExperimentConfig) -> Mapping[str, range]:
        """List the values of its own options, from the present one on, that give more counted steps a round."""
        ...

    def stepper(self, config: ExperimentConfig, learner: Any, hooks: Sequence[Hook]) -> Stepper:
        """Return what takes single steps of a learner's networks, in place."""
        ...


class Sampler(Protocol):
    """A learner that makes tiles."""

    def sample(
        self, labels: NDArray[np.int64], random: torch.Generator, domains: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """Make a tile, uint8 [H, W, C], for each label and domain, int64 [N]; DivergedError where one is not finite."""
        ...


class Classifier(Protocol):
    """A learner that says labels."""

    def logits(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge tiles, uint8 [N, H, W, C]: float32 [N, label]; DivergedError where one is not finite."""
        ...
