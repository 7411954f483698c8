"""What strategies with an optimiser on the server have in common."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvgM, FedYogi
from numpy.typing import NDArray

from fedray.federation.messages import ARRAYS, METRICS, WEIGHT
from fedray.federation.strategies.base import FromStart
from fedray.learning import Arrays
from fedray.simulation import mergeable

Optimiser = FedAvgM | FedAdagrad | FedAdam | FedYogi


class ServerOptimised(FromStart):
    """The mean of the clients, taken as a gradient by one of Flower's server optimisers.

    The optimiser sees trained parameters only. Batch statistics, counters and moving averages are no solution of an
    optimisation: a step beyond their mean can leave their range (a negative variance). They get the mean itself.
    """

    def __init__(self, optimiser: Optimiser, parameters: Iterable[str]) -> None:
        """Wrap one of Flower's strategies.

        Args:
            optimiser: Whose step is taken.
            parameters: Names of the arrays that it sees.
        """
        super().__init__(parameters)
        self._optimiser = optimiser

    @mergeable
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the mean, and then the optimiser's step on the parameters."""
        answered = list(replies)
        means, metrics = super().aggregate_train(server_round, answered)
        if means is None:
            return means, metrics
        stepped = self._step(server_round, {name: means[name].numpy() for name in self._names}, answered[0])
        merged = ArrayRecord()
        for name, mean in means.items():
            merged[name] = stepped.get(name, mean)
        return merged, metrics

    def _step(self, server_round: int, means: Arrays, like: Message) -> Mapping[str, Array]:
        if isinstance(self._optimiser, FedAvgM):
            self._optimiser.current_arrays = ArrayRecord({name: Array(value) for name, value in self._before.items()})
        else:
            self._optimiser.current_arrays = dict(self._before)
        content = RecordDict(
            {ARRAYS: ArrayRecord({name: Array(np.asarray(value)) for name, value in means.items()}),
             METRICS: MetricRecord({WEIGHT: 1.0})}
        )  # fmt: skip
        reply = Message(content, reply_to=like)
        stepped, _ = self._optimiser.aggregate_train(server_round, [reply])
        assert stepped is not None, "one good reply aggregates to something"
        return stepped

    def arrays(self) -> Arrays:
        """Return the optimiser's moments, keyed ``moment:parameter``; none before the first step."""
        optimiser = self._optimiser
        if isinstance(optimiser, FedAvgM):
            moments = {"momentum": dict(zip(self._names, optimiser.momentum_vector or [], strict=False))}
        else:
            moments = {"m": optimiser.m_t or {}, "v": optimiser.v_t or {}}
        return {f"{moment}:{name}": value for moment, values in moments.items() for name, value in values.items()}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        moments: dict[str, dict[str, NDArray[Any]]] = {}
        for key, value in arrays.items():
            moment, name = key.split(":")
            moments.setdefault(moment, {})[name] = np.array(value)
        if isinstance(self._optimiser, FedAvgM):
            momentum = moments.get("momentum")
            self._optimiser.momentum_vector = [momentum[name] for name in self._names] if momentum else None
        else:
            self._optimiser.m_t, self._optimiser.v_t = moments.get("m"), moments.get("v")
