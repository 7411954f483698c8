"""The Flower app around a case's clients, the same for every engine, and the time stamps of its rounds."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks.memory import PrivateMemory

Weights = dict[str, np.ndarray]
Metrics = dict[str, int | float]
# (the global weights, the client's number, its Context.state) -> (its weights, metrics with "num-examples")
Update = Callable[[Weights, int, RecordDict], tuple[Weights, Metrics]]

TIMED_UPDATE_KEY = "seconds-per-example"
# FedAvg leaves failed clients out without a word. The mean of these numbers shows if one is missing.
ROLL_CALL_KEY = "roll-call"


@dataclass(frozen=True)
class RoundMeasurement:
    """One round.

    Attributes:
        round: 1 for the first; 0 for what comes before it.
        seconds: How long it took.
        peak_private_mb: Largest growth of the driver's private memory in it, since the engine started.
    """

    round: int
    seconds: float
    peak_private_mb: float


class Recorder:
    """Takes a time stamp before the first round and after each."""

    def __init__(self, memory: PrivateMemory, compared_round: int) -> None:
        """Start the clock. The weights after ``compared_round`` are kept."""
        self._memory, self._compared_round = memory, compared_round
        self._last = time.perf_counter()
        self.rounds: list[RoundMeasurement] = []
        self.weights: Weights = {}  # after the round in which the engines are compared
        self.seconds_per_example: dict[int, float] = {}  # by round
        self.roll_calls: list[float] = []  # a weighted mean for each round

    def stamp(self, server_round: int, read_weights: Callable[[], Weights]) -> None:
        """Note that a round has ended."""
        now = time.perf_counter()
        self.rounds.append(RoundMeasurement(server_round, now - self._last, self._memory.take_peak_mb()))
        if server_round == self._compared_round:
            self.weights = read_weights()
        self._last = time.perf_counter()


def roll_call(client: int) -> float:
    """Return a client's number in the roll call. No mean of some clients' numbers is another one's."""
    return math.sqrt(client + 2)


def make_client_app(update: Update) -> ClientApp:
    """Return a Flower app whose clients do ``update``."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        weights = {name: array.numpy() for name, array in message.content.array_records["arrays"].items()}
        client = int(context.node_config["partition-id"])
        weights, metrics = update(weights, client, context.state)
        arrays = ArrayRecord({name: Array(array) for name, array in weights.items()})
        answer = MetricRecord({**metrics, ROLL_CALL_KEY: roll_call(client)})
        return Message(RecordDict({"arrays": arrays, "metrics": answer}), reply_to=message)

    return app


def make_state_dict_app(step: Callable[[Any, int], Any], num_examples: Callable[[int], int]) -> ClientApp:
    """Return a Flower app whose clients take a torch ``state_dict``, do ``step`` to it and send it back.

    It is written as Flower's quickstarts are, but for the network between the two: to fill one is the client's work.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        state_dict = step(message.content["arrays"].to_torch_state_dict(), client)
        model_record = ArrayRecord(state_dict)
        metrics = MetricRecord({"num-examples": num_examples(client), ROLL_CALL_KEY: roll_call(client)})
        content = RecordDict({"arrays": model_record, "metrics": metrics})
        return Message(content=content, reply_to=message)

    return app


def make_server_app(
    initial_weights: Callable[[], Weights],
    num_clients: int,
    clients_per_round: int,
    num_rounds: int,
    recorder: Recorder,
) -> ServerApp:
    """Return a Flower app that averages for some rounds, and tells the recorder about each."""
    app = ServerApp()

    def evaluate(server_round: int, arrays: ArrayRecord) -> None:
        # Copies: what an engine holds in shared memory is gone when it ends.
        recorder.stamp(server_round, lambda: {name: array.numpy() for name, array in arrays.items()})

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(
            fraction_train=clients_per_round / num_clients,
            fraction_evaluate=0.0,
            min_train_nodes=clients_per_round,
            # Flower's engine registers clients while this function already runs: wait for all of them.
            min_available_nodes=num_clients,
        )
        arrays = ArrayRecord({name: Array(array) for name, array in initial_weights().items()})
        result = strategy.start(grid, arrays, num_rounds=num_rounds, evaluate_fn=evaluate)
        for server_round, metrics in result.train_metrics_clientapp.items():
            recorder.roll_calls.append(cast(float, metrics[ROLL_CALL_KEY]))
            if TIMED_UPDATE_KEY in metrics:
                recorder.seconds_per_example[server_round] = cast(float, metrics[TIMED_UPDATE_KEY])

    return app
