"""What the loop asks of a round."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import Census
from fedray.federation.account import Account
from fedray.federation.state import FederationState, RoundReport
from fedray.federation.traffic import Part

Step = Callable[[Grid, FederationState, ExperimentConfig], RoundReport]
"""Runs the next round: advances the state in place, and reports. Errors as of :func:`fedray.federation.federate`."""


class Round(Protocol):
    """A module of this folder."""

    LOCKSTEP: bool
    """Whether all clients take each step of the counted network together, on whole batches; otherwise each takes its
    own in a row."""

    MESSAGES: tuple[Part, ...]
    """What its messages hold, whatever the strategy."""

    def begin(
        self,
        config: ExperimentConfig,
        census: Census,
        state: FederationState,
        strategy: Strategy,
        account: Account,
    ) -> Step:
        """Return what runs round after round from a state on."""
        ...

    def client_steps(self, config: ExperimentConfig, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the optimiser steps, int64 [client], in a round that clients of so many tiles, int64 [client], join."""
        ...
