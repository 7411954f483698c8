"""What all strategies are made of: a half on the server, and a half on every client of a round."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy
from numpy.typing import NDArray

from fedray.config import ConfigError, ExperimentConfig
from fedray.data import LabelledTiles
from fedray.federation.messages import ARRAYS, CONFIG, METRICS, STEPS, WEIGHT, counts_of, losses_of
from fedray.federation.traffic import Part
from fedray.learning import Arrays, Hook, Learner
from fedray.simulation import mergeable
from fedray.tasks import shared_parts

EXTRA = "strategy:"
"""Begins the names of arrays that the two halves of a strategy tell each other beside those of the networks."""

MakeLearner = Callable[[], Learner]
"""Builds the networks of the experiment, to look at: it takes time, so it is called where that is needed alone."""


class Algorithm(Protocol):
    """A module of this folder."""

    def server(self, config: ExperimentConfig, make: MakeLearner) -> Strategy:
        """Return Flower's strategy; ConfigError where the configuration does not go with it."""
        ...

    def client(self, config: ExperimentConfig) -> "ClientHalf":
        """Return what clients do, for one round of one client."""
        ...


class ClientHalf:
    """What a strategy does around a client's local pass. This one does nothing: plain averaging."""

    MESSAGES: ClassVar[tuple[Part, ...]] = ()
    """What the two halves of the strategy tell each other, beside what every round of averaging sends."""

    def __init__(self, config: ExperimentConfig) -> None:
        """Serve one round of one client."""
        self.config = config

    def answer(self, learner: Learner, tiles: LabelledTiles) -> Arrays:
        """Answer what the server's half asks before a round (:func:`fedray.federation.exchange.ask_before`).

        Args:
            learner: As in :meth:`begin`.
            tiles: That the client trains on.
        """
        return {}

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Prepare the pass.

        Args:
            learner: With the server's arrays in it, and with those parts that stay with the client.
            told: What the server's half sent, without :data:`EXTRA`; nothing where only a step is timed.
            kept: What this client kept of its last round; nothing before there was one.

        Returns:
            What changes losses and gradients.
        """
        return ()

    def end(self, learner: Learner, steps: Mapping[str, int]) -> Arrays:
        """Return what travels: the shared parts, and under :data:`EXTRA` what the server's half is told.

        Args:
            learner: After the pass.
            steps: Taken in it, by network.
        """
        return learner.arrays(shared_parts(self.config))

    def keep(self) -> Arrays:
        """Return what stays with the client until its next round."""
        return {}

    def own(self, learner: Learner) -> Sequence[str]:
        """Name the shared arrays that every client has for itself, which makes a strategy a personal one.

        They are in no reply. A client goes on with its own from round to round, and is judged with them; before its
        first round it has the server's, which stay as they were at first.
        """
        return ()


def trained_names(config: ExperimentConfig, make: MakeLearner) -> list[str]:
    """Names of the shared arrays that optimisers train: no buffers, no moving average, nothing frozen."""
    return make().trained(shared_parts(config))


def need_plain_sgd(config: ExperimentConfig, why: str) -> None:
    """Refuse optimisers with moments.

    Raises:
        ConfigError: There are some.
    """
    if lacking := config.family.lacks_plain_sgd:
        raise ConfigError(f"federation.strategy {config.federation.strategy!r} needs {lacking}: {why}")


def separated(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Part arrays of networks from what the halves of a strategy tell each other; those come without :data:`EXTRA`."""
    told = {name.removeprefix(EXTRA): value for name, value in arrays.items() if name.startswith(EXTRA)}
    return {name: value for name, value in arrays.items() if not name.startswith(EXTRA)}, told


def parted(arrays: Arrays, own: Iterable[str]) -> tuple[Arrays, Arrays]:
    """Part what a client's half lets travel from those arrays that are the client's own."""
    stay = dict.fromkeys(own)
    return {name: value for name, value in arrays.items() if name not in stay}, {name: arrays[name] for name in stay}


@runtime_checkable
class KeepsState(Protocol):
    """A server's half with something to keep from round to round."""

    def arrays(self) -> Arrays:
        """Return it, by name."""
        ...

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on with it; nothing before the first round."""
        ...


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


COMMON: dict[str, Any] = {
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
"""Arguments of all of Flower's strategies here."""


class FromStart(FedAvg):
    """A server's half that goes somewhere from where the round starts, rather than to the clients' mean."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names of the arrays that optimisers train; all others get the mean."""
        super().__init__(**COMMON)
        self._names, self._before = list(names), Arrays()

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Iterable[Message]:
        """Remember where the round starts."""
        self._before = {name: arrays[name].numpy() for name in self._names}
        return super().configure_train(server_round, arrays, config, grid)


def _number(record: MetricRecord, name: str) -> float:
    return float(cast(float, record[name]))
