"""SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378): control variates correct the drift of every client.

The server has a control c, every client a control c_i; all begin at zero. A client steps by y <- y - eta (g - c_i + c),
and after its K steps has c_i <- c_i - c + (x - y) / (K eta) (option II). With S of N clients in a round the server has
x <- x + eta_g mean(y - x) and c <- c + (S / N) mean(c_i's change), both means alike over the clients of the round.
Controls are of parameters that are trained; statistics, counters and averages of networks get the plain mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from torch import nn

from fedray.config import ConfigError, ExperimentConfig
from fedray.federation.messages import to_record
from fedray.federation.strategies.base import (
    EXTRA,
    ClientHalf,
    FromStart,
    MakeLearner,
    need_plain_sgd,
    trained_names,
)
from fedray.federation.traffic import Part
from fedray.learning import Arrays, Hook, Learner
from fedray.tasks import shared_parts


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return a strategy of Flower; ConfigError where a step is not what the formulas count on."""
    need_plain_sgd(config, "with moments K eta is not how far K gradients move a client, and its control is wrong")
    federation = config.federation
    if config.family.clip_norm is not None:
        raise ConfigError(
            f"federation.strategy 'scaffold' needs {config.task}.clip_norm unset, but got "
            f"{config.family.clip_norm:g}: a control is the mean of gradients as they were"
        )
    if federation.weighting != "uniform":
        raise ConfigError(
            "federation.strategy 'scaffold' needs federation.weighting 'uniform', but got "
            f"{federation.weighting!r}: its means are over clients, not over tiles"
        )
    return Scaffold(trained_names(config, make), config.num_clients, federation.server_lr or 1.0)


class Scaffold(FromStart):
    """The server's half."""

    def __init__(self, names: Iterable[str], num_clients: int, rate: float) -> None:
        """Begin with controls of zero.

        Args:
            names: Of the arrays that have a control.
            num_clients: Of the federation, N.
            rate: Of the server, eta_g.
        """
        super().__init__(names)
        self._num_clients, self._rate, self._controls = num_clients, rate, Arrays()

    def arrays(self) -> Arrays:
        """Return the controls, by the name of their array."""
        return self._controls

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on with these controls; none before the first round."""
        self._controls = dict(arrays)

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Iterable[Message]:
        """Send the controls beside the networks."""
        self._controls = self._controls or {name: np.zeros_like(arrays[name].numpy()) for name in self._names}
        sent = to_record({EXTRA + name: control for name, control in self._controls.items()})
        return super().configure_train(server_round, ArrayRecord({**arrays, **sent}), config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Step by the mean update, and the controls by theirs."""
        answered = list(replies)
        means, metrics = super().aggregate_train(server_round, answered)
        if means is None:
            return means, metrics
        share = len(answered) / self._num_clients
        after = ArrayRecord({name: array for name, array in means.items() if not name.startswith(EXTRA)})
        for name, before in self._before.items():
            update = np.subtract(means[name].numpy(), before, dtype=np.float64)
            after[name] = Array(np.asarray(np.add(before, self._rate * update)))
            change = share * means[EXTRA + name].numpy()
            self._controls[name] = np.add(self._controls[name], change).astype(before.dtype)
        return after, metrics


class Corrections(Hook):
    """Adds c - c_i to every gradient."""

    def __init__(self, corrections: Mapping[str, torch.Tensor]) -> None:
        """Take them by the names of their arrays."""
        self._corrections = corrections

    def gradient(self, name: str, network: nn.Module) -> None:
        """Correct what has a control."""
        for part, parameter in network.named_parameters():
            correction = self._corrections.get(f"{name}.{part}")
            if correction is not None and parameter.grad is not None:
                parameter.grad.add_(correction.to(parameter.grad.device))


class Corrected(ClientHalf):
    """A client's half."""

    MESSAGES: ClassVar[tuple[Part, ...]] = (
        Part(
            "server", "train", "arrays", rf"{EXTRA}{{shared}}\..+", "the server's control variates",
            "each site of the round", "every round", "the trained weights",
        ),
        Part(
            "site", "train", "arrays", rf"{EXTRA}{{shared}}\..+", "how its control variates changed", "server",
            "every round that it is drawn for", "the trained weights",
        ),
    )  # fmt: skip

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Remember where the round starts, and correct every gradient."""
        self._before = learner.arrays(learner.trained(shared_parts(self.config)))
        zeros = {name: np.zeros_like(value) for name, value in self._before.items()}
        self._common, self._own = {**zeros, **told}, {**zeros, **kept}
        self._rates = learner.rates()
        corrections = {
            name: torch.from_numpy(np.subtract(self._common[name], self._own[name])) for name in self._before
        }
        return [Corrections(corrections)]

    def end(self, learner: Learner, steps: Mapping[str, int]) -> Arrays:
        """Return the shared parts, and how the client's controls changed."""
        after = learner.arrays(self._before)
        new = {name: self._own[name] for name in after}
        for name, value in after.items():
            network = name.partition(".")[0]
            if steps[network]:
                way = np.subtract(self._before[name], value, dtype=np.float64) / (steps[network] * self._rates[network])
                new[name] = np.add(np.subtract(self._own[name], self._common[name]), way).astype(value.dtype)
        changes = {EXTRA + name: np.subtract(control, self._own[name]) for name, control in new.items()}
        self._own = new
        return {**learner.arrays(shared_parts(self.config)), **changes}

    def keep(self) -> Arrays:
        """Return the client's controls."""
        return self._own


client = Corrected
