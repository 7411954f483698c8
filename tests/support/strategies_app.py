"""Flower's strategies, one after another on one grid, for both engines. As a script it runs on Flower's own."""

import random
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
)
from flwr.serverapp.strategy.strategy import Strategy
from flwr.supercore.differential_privacy import KEY_CLIPPING_NORM

NUM_CLIENTS, NUM_ROUNDS, SEED = 8, 3, 5
NUM_TRAIN, NUM_EVALUATE = 4, 6  # clients a round
SAMPLING = {"fraction_train": 0.5, "fraction_evaluate": 0.75, "min_available_nodes": NUM_CLIENTS}
# With 4 replies a trimmed mean is the median, and Krum looks at one neighbour of each: two that are each other's tie,
# and the order of arrival decides.
MORE = SAMPLING | {"fraction_train": 0.75}

# FedAvg and FedProx come with the same seed: only what the client does with `proximal-mu` tells them apart. So it is
# with FedAvg and the clipping on the clients' side.
STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "FedAvg": partial(FedAvg, **SAMPLING),
    "FedProx": partial(FedProx, proximal_mu=0.5, **SAMPLING),
    "FedAdam": partial(FedAdam, **SAMPLING),
    "FedAvgM": partial(FedAvgM, server_learning_rate=0.9, server_momentum=0.7, **SAMPLING),
    "FedYogi": partial(FedYogi, **SAMPLING),
    "FedAdagrad": partial(FedAdagrad, **SAMPLING),
    "FedMedian": partial(FedMedian, **SAMPLING),
    "FedTrimmedAvg": partial(FedTrimmedAvg, beta=0.2, **MORE),  # cuts one of 6 off at either end
    "Krum": partial(Krum, num_malicious_nodes=1, **MORE),
    "DP-server": lambda: DifferentialPrivacyServerSideFixedClipping(FedAvg(**SAMPLING), 0.5, 0.4, NUM_TRAIN),
    "DP-client": lambda: DifferentialPrivacyClientSideFixedClipping(FedAvg(**SAMPLING), 0.0, 0.3, NUM_TRAIN),
}

client_app = ClientApp()


def data(context: Context) -> tuple[np.ndarray, np.ndarray]:
    partition = int(context.node_config["partition-id"])
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(20 + 5 * partition, 4))
    return x, x @ np.linspace(-1.0, 2.0, 12).reshape(4, 3) + rng.normal(size=(len(x), 3)) + 0.3 * partition


def error(model: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x @ model["weight"] + model["bias"] + model["shift"] - y


def velocity_of(message: Message, context: Context) -> dict[str, np.ndarray]:
    """Return this client's momentum under the strategy that is at work; without any, none has a name."""
    name = f"velocity/{message.content['config']['strategy']}"
    return {key: array.numpy() for key, array in context.state[name].items()} if name in context.state else {}


def metrics(context: Context, num_examples: int, **values: float) -> RecordDict:
    who = np.eye(NUM_CLIENTS)[int(context.node_config["partition-id"])].tolist()  # averaged: each client's weight
    return RecordDict({"metrics": MetricRecord({"num-examples": num_examples, "who": who, **values})})


def clip_if_asked(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    if KEY_CLIPPING_NORM in message.content["config"]:
        return fixedclipping_mod(message, context, call_next)
    return call_next(message, context)


@client_app.query()
def tell_partition(message: Message, context: Context) -> Message:
    partition = int(context.node_config["partition-id"])
    return Message(RecordDict({"node": MetricRecord({"partition": partition})}), reply_to=message)


@client_app.train(mods=[clip_if_asked])
def train(message: Message, context: Context) -> Message:
    config = message.content["config"]
    x, y = data(context)
    start = {name: array.numpy() for name, array in message.content["arrays"].items()}
    model, velocity = dict(start), velocity_of(message, context)
    for _ in range(3):
        e = error(model, x, y)
        gradients = {"weight": x.T @ e / len(x), "bias": e.mean(axis=0), "shift": e.mean()}
        for name, gradient in gradients.items():
            pull = config.get("proximal-mu", 0.0) * (model[name] - start[name])
            velocity[name] = 0.8 * velocity.get(name, 0.0) + gradient + pull
            model[name] = model[name] - 0.05 * velocity[name]
    if "counter" in model:
        model["counter"] = model["counter"] + len(x)
    context.state[f"velocity/{config['strategy']}"] = to_record(velocity)
    loss = float(np.mean(error(model, x, y) ** 2))
    content = metrics(context, len(x), loss=loss)
    content["arrays"] = to_record(model)
    return Message(content, reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    x, y = data(context)
    model = {name: array.numpy() for name, array in message.content["arrays"].items()}
    loss = float(np.mean(error(model, x, y) ** 2))
    speed = float(sum(np.sum(v**2) for v in velocity_of(message, context).values()))
    return Message(metrics(context, len(x), loss=loss, speed=speed), reply_to=message)


def to_record(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()})


class InPartitionOrder:
    """Shows strategies the nodes in the order of their partitions: ids and their order are each engine's own.

    The stock engine starts the server while it still registers nodes; this waits for the last one.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        while len(list(grid.get_node_ids())) < NUM_CLIENTS:
            time.sleep(0.05)
        replies = grid.send_and_receive([Message(RecordDict(), node, "query") for node in grid.get_node_ids()])
        nodes = {reply.content["node"]["partition"]: reply.metadata.src_node_id for reply in replies}
        self._node_ids = [nodes[partition] for partition in range(NUM_CLIENTS)]

    def get_node_ids(self) -> list[int]:
        return list(self._node_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self._grid.send_and_receive(messages, timeout=timeout)


def initial_arrays(strategy: str) -> ArrayRecord:
    start = {"weight": np.zeros((4, 3)), "bias": np.full(3, 0.1), "shift": np.array(0.2)}
    if not strategy.startswith("DP"):  # Flower's clipping scales in place, which an integer array refuses
        start["counter"] = np.array([[0], [7]])
    return to_record(start)


def run_strategy(name: str, grid: InPartitionOrder) -> dict[str, np.ndarray]:
    random.seed(SEED)  # strategies draw their clients from it
    np.random.seed(SEED)  # noqa: NPY002  # differential privacy draws its noise from it
    configs = {kind: ConfigRecord({"strategy": name}) for kind in ("train_config", "evaluate_config")}
    result = STRATEGIES[name]().start(grid, initial_arrays(name), NUM_ROUNDS, **configs)
    found = {f"{name}/arrays/{key}": array.numpy() for key, array in result.arrays.items()}
    for kind, rounds in (("train", result.train_metrics_clientapp), ("evaluate", result.evaluate_metrics_clientapp)):
        for round_index, record in rounds.items():
            found |= {f"{name}/{kind}/{round_index}/{key}": np.array(value) for key, value in record.items()}
    return found


def make_server_app(out: str) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        ordered = InPartitionOrder(grid)
        found: dict[str, np.ndarray] = {}
        for name in STRATEGIES:
            found |= run_strategy(name, ordered)
        np.savez(out, **found)

    return app


if __name__ == "__main__":
    from flwr.simulation import run_simulation

    # Of the four CPUs of the suite's Ray: one actor, and room for others beside it.
    config = {"client_resources": {"num_cpus": 2.5, "num_gpus": 0.0}}
    run_simulation(make_server_app(sys.argv[1]), client_app, NUM_CLIENTS, backend_config=config)
