"""Aggregation rules by name, over Flower's strategies."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    Strategy,
)
from numpy.typing import NDArray

from fedray.config import ExperimentConfig, FederationConfig
from fedray.data import TileShape
from fedray.errors import UserError
from fedray.federation.messages import ARRAYS, CONFIG, METRICS, STEPS, WEIGHT, counts_of, losses_of
from fedray.federation.privacy import NoisyMean
from fedray.models import Arrays, Gan, shared_parts
from fedray.simulation import first_not_finite, mergeable

logger = logging.getLogger(__name__)


@mergeable
def mean_losses(replies: Iterable[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Average each network's losses over the steps that all clients took, and count tiles and steps.

    A client whose round was too short for a generator step has no say in the generator's losses. Under differential
    privacy clients report their weight alone.
    """
    records = [reply.metric_records[METRICS] for reply in replies]
    summed = [WEIGHT, *counts_of(records[0])]
    totals = {name: sum(_number(record, name) for record in records) for name in summed}
    means = MetricRecord({name: float(total) for name, total in totals.items()})
    for name in losses_of(records[0]):
        steps = f"{name.split('/')[0]}{STEPS}"
        weighted = sum(_number(record, name) * _number(record, steps) for record in records)
        means[name] = weighted / max(1.0, totals[steps])
    return means


_COMMON: dict[str, Any] = {
    # Which clients take part is drawn before the strategy is asked (rounds.py), from a named stream.
    "fraction_train": 1.0,
    "fraction_evaluate": 0.0,
    "min_train_nodes": 1,
    "min_available_nodes": 1,
    "weighted_by_key": WEIGHT,
    "arrayrecord_key": ARRAYS,
    "configrecord_key": CONFIG,
    "train_metrics_aggr_fn": mean_losses,
}

Optimiser = FedAvgM | FedAdagrad | FedAdam | FedYogi


class TooFewRepliesError(UserError, RuntimeError):
    """A robust strategy was left with too few replies to protect from anybody."""


class _FiniteReplies(FedAvg):
    """Leaves replies that are not finite out, as a robust strategy must: one NaN is in every median and distance.

    FedRay's own clients say themselves that they diverged. This is for those that do not: a client can send anything.
    """

    min_replies: int
    """What is left must be as many."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate the replies that are finite."""
        answered = list(replies)
        broken = {
            reply.metadata.src_node_id: name
            for reply in answered
            if reply.has_content() and (name := first_not_finite(reply.content)) is not None
        }
        finite = [reply for reply in answered if reply.metadata.src_node_id not in broken]
        if broken:
            told = ", ".join(f"node {node}: {name}" for node, name in sorted(broken.items())[:3])
            text = f"round {server_round}: {len(broken)} of {len(answered)} replies are not finite ({told})"
            if len(finite) < self.min_replies:
                raise TooFewRepliesError(
                    f"{text}, and {len(finite)} are too few to protect from anybody: {self.min_replies} are needed; "
                    "take more clients"
                )
            logger.warning("%s; they are left out", text)
        return super().aggregate_train(server_round, finite)


class _Median(_FiniteReplies, FedMedian):
    pass


class _TrimmedMean(_FiniteReplies, FedTrimmedAvg):
    pass


class _Krum(_FiniteReplies, Krum):
    pass


def _robust(
    kind: Callable[..., _FiniteReplies], min_replies: Callable[[FederationConfig], int], **options: str
) -> Callable[[ExperimentConfig, TileShape], Strategy]:
    """Make a builder as :func:`_plain`, of a strategy that needs so many replies."""

    def build(config: ExperimentConfig, shape: TileShape) -> Strategy:
        strategy = kind(**_COMMON, **_chosen(config, options))
        strategy.min_replies = min_replies(config.federation)
        return strategy

    return build


class ServerOptimised(FedAvg):
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
        super().__init__(**_COMMON)
        self._optimiser, self._parameters = optimiser, list(parameters)
        self._before: dict[str, NDArray[Any]] = {}

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Iterable[Message]:
        """Remember where the round starts."""
        self._before = {name: arrays[name].numpy() for name in self._parameters}
        return super().configure_train(server_round, arrays, config, grid)

    @mergeable
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the mean, and then the optimiser's step on the parameters."""
        answered = list(replies)
        means, metrics = super().aggregate_train(server_round, answered)
        if means is None:
            return means, metrics
        stepped = self._step(server_round, {name: means[name].numpy() for name in self._parameters}, answered[0])
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
            moments = {"momentum": dict(zip(self._parameters, optimiser.momentum_vector or [], strict=False))}
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
            self._optimiser.momentum_vector = [momentum[name] for name in self._parameters] if momentum else None
        else:
            self._optimiser.m_t, self._optimiser.v_t = moments.get("m"), moments.get("v")


def _server_optimised(kind: Callable[..., Optimiser], config: ExperimentConfig, shape: TileShape) -> Strategy:
    federation = config.federation
    optimiser: Optimiser
    if kind is FedAvgM:
        optimiser = FedAvgM(
            server_learning_rate=federation.server_lr or 1.0, server_momentum=federation.server_momentum, **_COMMON
        )
    elif kind is FedAdagrad:
        optimiser = FedAdagrad(eta=federation.server_lr or 0.1, **_COMMON)
    else:
        optimiser = kind(eta=federation.server_lr or 0.1, beta_1=federation.server_momentum, **_COMMON)
    return ServerOptimised(optimiser, trained_parameters(config, shape))


def trained_parameters(config: ExperimentConfig, shape: TileShape) -> list[str]:
    """Names of the shared arrays that optimisers train: no buffers, no moving average, nothing frozen."""
    gan = Gan(config.gan, shape, config.seed, load_weights=False)
    return gan.trained(shared_parts(config.federation))


def _plain(kind: Callable[..., FedAvg], **options: str) -> Callable[[ExperimentConfig, TileShape], Strategy]:
    """Make a builder: ``options`` name the federation's fields that the strategy's arguments come from."""

    def build(config: ExperimentConfig, shape: TileShape) -> Strategy:
        return kind(**_COMMON, **_chosen(config, options))

    return build


def _chosen(config: ExperimentConfig, options: Mapping[str, str]) -> dict[str, Any]:
    return {argument: getattr(config.federation, field) for argument, field in options.items()}


STRATEGIES: dict[str, Callable[[ExperimentConfig, TileShape], Strategy]] = {
    "fedavg": _plain(FedAvg),
    "fedavgm": partial(_server_optimised, FedAvgM),
    "fedprox": _plain(FedProx, proximal_mu="proximal_mu"),
    "fedadam": partial(_server_optimised, FedAdam),
    "fedyogi": partial(_server_optimised, FedYogi),
    "fedadagrad": partial(_server_optimised, FedAdagrad),
    "fedmedian": _robust(_Median, lambda federation: 3),
    "trimmed-mean": _robust(
        _TrimmedMean, lambda federation: math.ceil(1 / federation.trimmed_share), beta="trimmed_share"
    ),
    "krum": _robust(_Krum, lambda federation: 2 * federation.num_malicious + 3, num_malicious_nodes="num_malicious"),
}


def make_strategy(config: ExperimentConfig, shape: TileShape) -> Strategy:
    """Build the configured strategy for networks of tiles of a shape."""
    strategy = STRATEGIES[config.federation.strategy](config, shape)
    if not config.privacy.on:
        return strategy
    assert isinstance(strategy, FedAvg), "the configuration allows privacy with a mean alone"
    return NoisyMean(strategy, config)


def _number(record: MetricRecord, name: str) -> float:
    return float(cast(float, record[name]))
