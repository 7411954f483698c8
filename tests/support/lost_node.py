"""A cluster of a head without workers and two nodes with one worker each loses a node: while a client runs there; when
its clients are done and what they left is on its way to the other node; after its worker has lived on without it; and
then the other one, too. Then Ray loses objects without a node.

A script, because it needs a Ray of its own.
"""

import gc
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from ray import cloudpickle
from ray._private.internal_api import free, memory_summary
from ray.cluster_utils import Cluster

from fedray.simulation import RayGrid, WorkerPool, WorkerResources, merged_nodes
from fedray.simulation.process.worker import Worker

NUM_CLIENTS, SIZE = 12, 50_000  # arrays and states are large enough to live in the object store of their node
CLUSTER_ARGS = {"object_store_memory": 80 * 1024**2, "include_dashboard": False, "include_log_monitor": False}
QUICK = {"health_check_period_ms": 500, "object_manager_pull_timeout_ms": 1000}  # a lost node is missed after 2.5 s

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Momentum, and what was sent first, in the client's state; whoever runs on the node `doomed` waits for its end."""
    config = message.content["config"]
    if config["doomed"] == ray.get_runtime_context().get_node_id():
        Path(config["gate"]).write_text("here")
        threading.Event().wait()
    momentum = context.state["momentum"]["m"].numpy() if "momentum" in context.state else 0.0
    if "first" not in context.state:
        context.state["first"] = message.content.array_records["arrays"]  # stays where the driver put it
    momentum = 0.5 * momentum + message.content["arrays"]["w"].numpy() + context.node_config["partition-id"]
    momentum += 0.25 * context.state["first"]["w"].numpy()
    context.state["momentum"] = ArrayRecord({"m": Array(momentum)})
    metrics = MetricRecord({"num-examples": context.node_config["partition-id"] + 1})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(momentum)}), "m": metrics}), reply_to=message)


@app.query()
def where(message: Message, context: Context) -> Message:
    node = ConfigRecord({"node": ray.get_runtime_context().get_node_id()})
    return Message(RecordDict({"where": node}), reply_to=message)


def run_round(
    grid: RayGrid, strategy: Strategy | None, w: np.ndarray, doomed: str = "", gate: str = "", first: int = 0
) -> np.ndarray:
    """Run all clients from the `first` one on."""
    content = {"arrays": ArrayRecord({"w": Array(w)}), "config": ConfigRecord({"doomed": doomed, "gate": gate})}
    node_ids = grid.get_node_ids()[first:]
    messages = [Message(RecordDict(content), node_id, "train") for node_id in node_ids]
    replies = grid.exchange(messages, strategy, timeout=120)
    assert not any(reply.has_error() for reply in replies), [r.error.reason for r in replies if r.has_error()]
    assert sorted(node for reply in replies for node in merged_nodes(reply)) == node_ids
    return FedAvg().aggregate_train(1, replies)[0]["w"].numpy()


def run(pool: WorkerPool, strategy: Strategy | None, lose: Callable[[], tuple[str, str]] | None) -> np.ndarray:
    """Four rounds. In the third, `lose` has a node removed. Returns what was learned."""
    grid, w = RayGrid(app, NUM_CLIENTS, pool), np.ones(SIZE)
    for round_index in range(4):
        w = run_round(grid, strategy, w, *(lose() if lose and round_index == 2 else ("",)))
    grid.close()
    return w


def remove_on_arrival(cluster: Cluster, node: Any) -> tuple[str, str]:
    """Have a node removed as soon as a client runs there.

    Returns:
        Its id, and a pipe for whoever arrives there to write into (an actor might live there itself).
    """
    gate = Path(tempfile.mkdtemp()) / "gate"
    os.mkfifo(gate)

    def remove() -> None:
        gate.read_text()  # waits for somebody to write
        cluster.remove_node(node, allow_graceful=False)
        shutil.rmtree(gate.parent)

    threading.Thread(target=remove, daemon=True).start()
    return str(node.node_id), str(gate)


def lose_while_a_client_runs(cluster: Cluster, node: Any, strategy: Strategy | None) -> None:
    with WorkerPool(WorkerResources(num_workers=2)) as pool:
        compare(cluster, pool, strategy, node, partial(remove_on_arrival, cluster, node))
        cluster.add_node(num_cpus=1, **CLUSTER_ARGS)
        wait_for_both_workers(cluster, pool)  # the pool grows back


def lose_before_states_are_copied(cluster: Cluster, node: Any, strategy: Strategy | None) -> None:
    gates = Path(tempfile.mkdtemp())
    with WorkerPool(WorkerResources(num_workers=2), setup=partial(copy_late, str(node.node_id), gates)) as pool:
        compare(cluster, pool, strategy, node, partial(remove_before_copies, cluster, node, gates))
    cluster.add_node(num_cpus=1, **CLUSTER_ARGS)


def lose_after_its_worker_lived_on(cluster: Cluster, node: Any) -> None:
    """Cut off, a worker can read nothing: the other one neither ends nor loses what it holds because of that.

    Where there is much to do, Ray ends such a worker many seconds after its node.
    """
    sign = Path(tempfile.mkdtemp()) / "cut off"

    def other() -> Any:
        (slot,) = (slot for slot in pool.dispatcher._crew.up if slot.ray_node != str(node.node_id))
        return slot

    def run_rounds(before: Mapping[int, Callable[[], object]]) -> np.ndarray:
        grid, w = RayGrid(app, NUM_CLIENTS, pool), np.ones(SIZE)
        for round_index in range(4):
            before.get(round_index, lambda: None)()
            w = run_round(grid, None, w)
        grid.close()
        return w

    with WorkerPool(WorkerResources(num_workers=2), setup=partial(cut_off, str(node.node_id), sign)) as pool:
        wait_for_both_workers(cluster, pool)
        expected, slot = run_rounds({}), other()
        remove = partial(cluster.remove_node, node, allow_graceful=False)
        np.testing.assert_allclose(run_rounds({2: sign.touch, 3: remove}), expected, rtol=1e-12)
        assert other() is slot, "a worker that could read everything was replaced"
    wait_for_loss(node)
    shutil.rmtree(sign.parent)
    cluster.add_node(num_cpus=1, **CLUSTER_ARGS)


def cut_off(doomed: str, sign: Path) -> None:
    """In the worker on the node `doomed`: as soon as there is the sign, nothing can be read."""
    get = ray.get

    def blind(*args: Any, **options: Any) -> Any:
        if sign.exists():
            raise ray.exceptions.RayError("its node is gone")
        return get(*args, **options)

    if ray.get_runtime_context().get_node_id() == doomed:
        ray.get = blind


def lose_one_after_the_other(cluster: Cluster, node: Any) -> None:
    """Only some clients run between the losses: the states of the others are copied all the same."""
    (other,) = cluster.worker_nodes - {node}

    def run_rounds(lose: Callable[[Any], None]) -> np.ndarray:
        grid = RayGrid(app, NUM_CLIENTS, pool)
        w = run_round(grid, None, np.ones(SIZE))
        lose(node)
        wait_for_both_workers(cluster, pool)
        w = run_round(grid, None, w, first=NUM_CLIENTS - 4)
        wait_for_copies(pool)
        lose(other)
        w = run_round(grid, None, w)
        grid.close()
        return w

    def replace(lost: Any) -> None:
        cluster.remove_node(lost, allow_graceful=False)
        cluster.add_node(num_cpus=1, **CLUSTER_ARGS)

    with WorkerPool(WorkerResources(num_workers=2)) as pool:
        wait_for_both_workers(cluster, pool)
        lose_objects(pool)
        np.testing.assert_allclose(run_rounds(replace), run_rounds(lambda node: None), rtol=1e-12)
        wait_for_few_references(pool)


def wait_for_copies(pool: WorkerPool) -> None:
    """Wait until workers hold what they were asked to: these calls come after those before them."""
    ray.get([slot.actor.hold.remote([], []) for slot in pool.dispatcher._crew.up])


def lose_objects(pool: WorkerPool) -> None:
    """Ray forgets the states: they are read from what the holders of copies have in memory."""

    def run_rounds(lose: Callable[[list[Any]], None]) -> np.ndarray:
        grid, w = RayGrid(app, NUM_CLIENTS, pool), np.ones(SIZE)
        for _ in range(3):
            w = run_round(grid, None, w)
            assert all(state.contents for state in grid._states._states.values()), "it is in no state"
            lose([state.parcel.reference for state in grid._states._states.values()])
        grid.close()
        return w

    np.testing.assert_allclose(run_rounds(free), run_rounds(lambda references: None), rtol=1e-12)


def wait_for_few_references(pool: WorkerPool) -> None:
    """Wait until driver and workers hold next to no object: not 12 states and 12 copies of them.

    An error of Ray stands in a circle with what was read when it came: a collection lets go of it.
    """
    give_up_at = time.monotonic() + 30
    while len(held := references()) > 6:
        gc.collect()  # of grids that are gone
        ray.get([slot.actor.call.options(num_returns=2).remote(gc.collect)[1] for slot in pool.dispatcher._crew.up])
        assert time.monotonic() < give_up_at, f"{len(held)} objects are still held"
        time.sleep(0.2)


def references() -> list[str]:
    return re.findall("LOCAL_REFERENCE|PINNED_IN_MEMORY", memory_summary(ray.get_runtime_context().gcs_address))


def compare(
    cluster: Cluster, pool: WorkerPool, strategy: Strategy | None, node: Any, lose: Callable[[], tuple[str, str]]
) -> None:
    wait_for_both_workers(cluster, pool)
    expected, got = run(pool, strategy, None), run(pool, strategy, lose)
    wait_for_loss(node)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def wait_for_loss(node: Any) -> None:
    """Wait until Ray says that the node is gone: its workers' sockets may have closed, and the rounds ended, before."""
    give_up_at = time.monotonic() + 30
    while str(node.node_id) in {known["NodeID"] for known in ray.nodes() if known["Alive"]}:
        assert time.monotonic() < give_up_at, "no node was lost"
        time.sleep(0.1)


def wait_for_both_workers(cluster: Cluster, pool: WorkerPool) -> None:
    grid, nodes = RayGrid(app, NUM_CLIENTS, pool), set[str]()
    while nodes != {str(node.node_id) for node in cluster.worker_nodes}:
        asked = [Message(RecordDict(), node_id, "query") for node_id in grid.get_node_ids()]
        nodes = {str(reply.content["where"]["node"]) for reply in grid.send_and_receive(asked)}
        time.sleep(0.1)  # leaves the machine to the node that starts
    grid.close()


def copy_late(doomed: str, gates: Path) -> None:
    """In the worker that copies what is on the node `doomed`: say so, and wait until it may."""
    get = ray.get

    def late(*args: Any, **options: Any) -> Any:
        if sys._getframe(1).f_code is Worker.hold.__code__ and (gates / "asked").exists():
            (gates / "asked").write_text("now")  # both wait for somebody on the other side
            (gates / "may").read_text()
        return get(*args, **options)

    if ray.get_runtime_context().get_node_id() != doomed:
        ray.get = late


def remove_before_copies(cluster: Cluster, node: Any, gates: Path) -> tuple[str, str]:
    """Have a node removed when its clients are done and somebody begins to copy their states."""
    for name in ("asked", "may"):
        os.mkfifo(gates / name)

    def remove() -> None:
        (gates / "asked").read_text()
        (gates / "asked").unlink()
        cluster.remove_node(node, allow_graceful=False)
        (gates / "may").write_text("go on")
        shutil.rmtree(gates)

    threading.Thread(target=remove, daemon=True).start()
    return "", ""


def a_node(cluster: Cluster) -> Any:
    return max(cluster.worker_nodes, key=lambda node: node.node_id)


def main() -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": QUICK, **CLUSTER_ARGS})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **CLUSTER_ARGS)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    cluster.wait_for_nodes()
    try:
        lose_while_a_client_runs(cluster, a_node(cluster), FedAvg())
        for strategy in (FedAvg(), None):  # their worker's mean, if there is one, may have parts of what is lost
            lose_before_states_are_copied(cluster, a_node(cluster), strategy)
        lose_after_its_worker_lived_on(cluster, a_node(cluster))
        lose_one_after_the_other(cluster, a_node(cluster))
        print("the same")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
