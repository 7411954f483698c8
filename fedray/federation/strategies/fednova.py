"""FedNova (Wang et al. 2020, arXiv 2007.07481): clients count by their tiles, not by how many steps they took.

Plain averaging of clients with unequal steps tau_i minimises another objective. Here every update is divided by its
steps, the mean of those is taken, and the server goes that way by the mean number of steps:

    x <- x + (sum_i p_i tau_i) (sum_i p_i (y_i - x) / tau_i)

A client sends x + (y_i - x) / tau_i in the place of y_i, so that both sums are means as all others. Every network has
steps of its own. Statistics, counters and averages of networks solve no objective, and get the plain mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import Strategy

from fedray.config import ExperimentConfig
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
from fedray.simulation import mergeable
from fedray.tasks import shared_parts


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return a strategy of Flower; ConfigError where clients train with moments."""
    need_plain_sgd(config, "the length of a step with moments is not one, so counting steps normalises nothing")
    return Normalised(trained_names(config, make))


class Normalised(FromStart):
    """Goes the mean number of steps along the mean of the clients' normalised updates."""

    @mergeable
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the means, and then the way."""
        means, metrics = super().aggregate_train(server_round, replies)
        if means is None:
            return means, metrics
        gone = ArrayRecord({name: array for name, array in means.items() if not name.startswith(EXTRA)})
        for name, before in self._before.items():
            steps = means[_steps(name)].numpy()
            way = steps * np.subtract(means[name].numpy(), before, dtype=np.float64)
            gone[name] = Array(np.asarray(np.add(before, way)))
        return gone, metrics


class NormalisedUpdate(ClientHalf):
    """Divides a client's update by its steps."""

    MESSAGES: ClassVar[tuple[Part, ...]] = (
        Part(
            "site", "train", "arrays", f"{EXTRA}steps:{{shared}}", "steps of each network", "server",
            "every round that it is drawn for", "a number each",
        ),
    )  # fmt: skip

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Remember where the round starts."""
        self._before = learner.arrays(learner.trained(shared_parts(self.config)))
        return ()

    def end(self, learner: Learner, steps: Mapping[str, int]) -> Arrays:
        """Return the normalised update on top of where it started, and the steps."""
        arrays = learner.arrays(shared_parts(self.config))
        for name, before in self._before.items():
            taken = max(1, steps[_network(name)])  # without a step there is no update to divide
            update = np.subtract(arrays[name], before, dtype=np.float64) / taken
            arrays[name] = np.add(before, update).astype(before.dtype)
        return arrays | {_steps(name): np.asarray(steps[_network(name)], np.float64) for name in self._before}


client = NormalisedUpdate


def _network(name: str) -> str:
    return name.partition(".")[0]


def _steps(name: str) -> str:
    return f"{EXTRA}steps:{_network(name)}"
