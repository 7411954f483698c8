"""A plain Flower app, 100 clients learning handwritten digits, on FedRay's engine or on Flower's.

    python docs/examples/flower_digits.py
    python docs/examples/flower_digits.py --engine flower

Both print the same accuracies. The only line that differs is an import.
"""

import argparse
import time

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from sklearn.datasets import load_digits

NUM_CLIENTS, NUM_ROUNDS, LEARNING_RATE = 100, 20, 0.5

IMAGES, LABELS = load_digits(return_X_y=True)  # 0.9 MB, which travels to each worker once, with the app

client_app = ClientApp()
server_app = ServerApp()


def digits(client: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return one client's images [N, 64] in [0, 1] and labels [N]; without a client, the last 300 for testing."""
    mine = slice(-300, None) if client is None else slice(client, -300, NUM_CLIENTS)
    return IMAGES[mine] / 16, LABELS[mine]


def probabilities(weights: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Softmax regression: [N, 64] @ [64, 10] -> [N, 10]."""
    logits = images @ weights
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Take five gradient steps on the client's own digits."""
    weights = message.content.array_records["arrays"]["weights"].numpy()
    images, labels = digits(int(context.node_config["partition-id"]))
    for _ in range(5):
        error = probabilities(weights, images) - np.eye(10)[labels]
        weights -= LEARNING_RATE * images.T @ error / len(labels)
    arrays = ArrayRecord({"weights": Array(weights)})
    return Message(
        RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": len(labels)})}), reply_to=message
    )


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Average over all clients, and print the accuracy after every fifth round."""
    images, labels = digits()

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        predicted = probabilities(arrays["weights"].numpy(), images).argmax(axis=1)
        accuracy = float((predicted == labels).mean())
        if server_round % 5 == 0:
            print(f"round {server_round:2}: {100 * accuracy:.1f} % of the test digits are right", flush=True)
        return MetricRecord({"accuracy": accuracy})

    # Flower's engine registers its nodes while this runs: wait for all of them.
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=NUM_CLIENTS, min_available_nodes=NUM_CLIENTS)
    start = ArrayRecord({"weights": Array(np.zeros((64, 10)))})
    started = time.perf_counter()
    strategy.start(grid, start, num_rounds=NUM_ROUNDS, evaluate_fn=evaluate)
    print(f"{NUM_ROUNDS} rounds in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("fedray", "flower"), default="fedray")
    if parser.parse_args().engine == "fedray":
        from fedray.simulation import run_simulation
    else:
        from flwr.simulation import run_simulation
    run_simulation(server_app, client_app, NUM_CLIENTS, backend_config={"client_resources": {"num_cpus": 1}})
