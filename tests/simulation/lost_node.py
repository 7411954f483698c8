"""A cluster of a head without workers and two nodes with one worker each loses a node in the middle of a round.

A script, because it needs a Ray of its own.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from ray import cloudpickle
from ray.cluster_utils import Cluster

from fedray.simulation import RayGrid, WorkerPool, WorkerResources, merged_nodes

NUM_CLIENTS, SIZE = 12, 50_000  # arrays and states are large enough to live in the object store of their node
CLUSTER_ARGS = {"object_store_memory": 80 * 1024**2, "include_dashboard": False}

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Momentum, in the client's state; whoever runs on the node `doomed` waits for its end."""
    config = message.content["config"]
    if config["doomed"] == ray.get_runtime_context().get_node_id():
        Path(config["gate"]).write_text("here")
        threading.Event().wait()
    momentum = context.state["momentum"]["m"].numpy() if "momentum" in context.state else 0.0
    momentum = 0.5 * momentum + message.content["arrays"]["w"].numpy() + context.node_config["partition-id"]
    context.state["momentum"] = ArrayRecord({"m": Array(momentum)})
    metrics = MetricRecord({"num-examples": context.node_config["partition-id"] + 1})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(momentum)}), "m": metrics}), reply_to=message)


def run_round(grid: RayGrid, strategy: Strategy | None, w: np.ndarray, doomed: str, gate: str = "") -> np.ndarray:
    content = {"arrays": ArrayRecord({"w": Array(w)}), "config": ConfigRecord({"doomed": doomed, "gate": gate})}
    messages = [Message(RecordDict(content), node_id, "train") for node_id in grid.get_node_ids()]
    replies = grid.exchange(messages, strategy, timeout=120)
    assert not any(reply.has_error() for reply in replies), [r.error.reason for r in replies if r.has_error()]
    assert sorted(node for reply in replies for node in merged_nodes(reply)) == grid.get_node_ids()
    return FedAvg().aggregate_train(1, replies)[0]["w"].numpy()


def run(pool: WorkerPool, strategy: Strategy | None, lose: Callable[[], tuple[str, str]] | None) -> np.ndarray:
    """Four rounds. In the third, `lose` has a node removed as soon as a client runs there."""
    grid, w = RayGrid(app, NUM_CLIENTS, pool), np.ones(SIZE)
    for round_index in range(4):
        w = run_round(grid, strategy, w, *(lose() if lose and round_index == 2 else ("",)))
    grid.close()
    return w


def remove_on_arrival(cluster: Cluster, node: Any) -> tuple[str, str]:
    """Return the node's id, and a pipe for whoever arrives there to write into (an actor might live there itself)."""
    gate = Path(tempfile.mkdtemp()) / "gate"
    os.mkfifo(gate)

    def remove() -> None:
        gate.read_text()  # waits for somebody to write
        cluster.remove_node(node, allow_graceful=False)
        shutil.rmtree(gate.parent)

    threading.Thread(target=remove).start()
    return str(node.node_id), str(gate)


def main() -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **CLUSTER_ARGS})
    nodes = [cluster.add_node(num_cpus=1, **CLUSTER_ARGS) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    cluster.wait_for_nodes()
    try:
        with WorkerPool(WorkerResources(num_workers=2)) as pool:
            for strategy in (FedAvg(), None):
                expected = run(pool, strategy, None)
                got = run(pool, strategy, partial(remove_on_arrival, cluster, nodes.pop()))
                np.testing.assert_allclose(got, expected, rtol=1e-12)
                nodes.append(cluster.add_node(num_cpus=1, **CLUSTER_ARGS))  # the pool grows back onto it
                grid = RayGrid(app, NUM_CLIENTS, pool)
                run_round(grid, strategy, np.ones(SIZE), "")
                while grid.timing.num_workers < 2:
                    run_round(grid, strategy, np.ones(SIZE), "")
                grid.close()
        print("the same")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
