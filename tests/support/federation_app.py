"""Linear regression with a client-side momentum, for both engines. As a script it runs on Flower's own."""

import sys

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

NUM_CLIENTS, NUM_ROUNDS = 5, 4
# The stock engine starts the server while it still registers nodes; FedAvg would sample a fraction of those it sees.
ALL_NODES = ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes")

client_app = ClientApp()


def data(context: Context) -> tuple[np.ndarray, np.ndarray]:
    partition = int(context.node_config["partition-id"])
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(20 + 5 * partition, 4))
    return x, x @ np.arange(4.0) + rng.normal(size=len(x))


@client_app.train()
def train(message: Message, context: Context) -> Message:
    x, y = data(context)
    w = message.content["arrays"]["w"].numpy()
    momentum = context.state["momentum"]["m"].numpy() if "momentum" in context.state else np.zeros(4)
    for _ in range(3):
        momentum = 0.9 * momentum + x.T @ (x @ w - y) / len(x)
        w -= 0.05 * momentum
    context.state["momentum"] = ArrayRecord({"m": Array(momentum)})
    counter = message.content["arrays"]["counter"].numpy() + 1
    content = {
        "arrays": ArrayRecord({"w": Array(w), "counter": Array(counter)}),
        "metrics": MetricRecord({"num-examples": len(x), "norm": float(np.linalg.norm(momentum))}),
    }
    return Message(RecordDict(content), reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    x, y = data(context)
    loss = float(np.mean((x @ message.content["arrays"]["w"].numpy() - y) ** 2))
    metrics = MetricRecord({"num-examples": len(x), "loss": loss, "has-state": float("momentum" in context.state)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def make_server_app(out: str) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        start = ArrayRecord({"w": Array(np.zeros(4)), "counter": Array(np.zeros((2, 2), np.float32))})
        result = FedAvg(**dict.fromkeys(ALL_NODES, NUM_CLIENTS)).start(grid, start, num_rounds=NUM_ROUNDS)
        found = {f"arrays/{name}": array.numpy() for name, array in result.arrays.items()}
        for kind in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
            for round_index, metrics in getattr(result, kind).items():
                found |= {f"{kind}/{round_index}/{name}": np.array(value) for name, value in metrics.items()}
        np.savez(out, **found)

    return app


if __name__ == "__main__":
    from flwr.simulation import run_simulation

    # Of the four CPUs of the suite's Ray: one actor, and room for others beside it.
    config = {"client_resources": {"num_cpus": 2.5, "num_gpus": 0.0}}
    run_simulation(make_server_app(sys.argv[1]), client_app, NUM_CLIENTS, backend_config=config)
