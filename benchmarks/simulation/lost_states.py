"""What second copies of clients' states cost and save: ``python -m benchmarks.simulation.lost_states``.

A cluster of a head without workers and two nodes with one worker each runs clients that keep 1 MB of state, three ways
in turns: with a copy of each state on the other node, as FedRay does it; without copies, but with all states in a file
of the driver after every round, so that a round can be repeated from it; and without either. Then each of the first two
loses a node in the middle of a round, and must go on with the states of the undisturbed run.
"""

import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ray
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from ray.cluster_utils import Cluster

from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.tables import format_seconds, markdown_table
from fedray.simulation import RayGrid, WorkerPool, WorkerResources

NUM_CLIENTS, STATE_BYTES, NUM_ROUNDS = 40, 1_000_000, 9
COPIES, FILES, NEITHER = "copies on the other node", "a file a round", "neither"
_NODE = {"num_cpus": 1, "object_store_memory": 400_000_000, "include_dashboard": False}
_QUICK = {"health_check_period_ms": 1000}  # a lost node is missed after 5 s, not after half a minute
_BACK_S = 120.0

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Add one to a state of 1 MB."""
    held = context.state["s"]["s"].numpy() if "s" in context.state else np.zeros(STATE_BYTES // 8)
    context.state["s"] = ArrayRecord({"s": Array(held + 1)})
    return Message(RecordDict({"m": MetricRecord({"rounds": float(held[0]) + 1})}), reply_to=message)


class Way:
    """One way to be safe from a lost node."""

    def __init__(self, name: str, pool: WorkerPool, folder: Path) -> None:
        """Start with clients without states."""
        self.name, self.grid = name, RayGrid(app, NUM_CLIENTS, pool)
        self._file = folder / "states"
        self.seconds: list[float] = []
        if name != COPIES:
            self.grid._states._replicas.copy = lambda parcels: None  # type: ignore[method-assign]

    def run(self, disturb: Callable[[], None] = lambda: None) -> None:
        """Do a round, and what has to be done for the next one to be safe. ``disturb`` is called while it runs."""
        started = time.perf_counter()
        ids = set(self.grid.push_messages(self._messages()))
        disturb()
        failed = [reply for reply in self._pull(ids) if reply.has_error()]
        if failed and self.name == FILES:
            self.grid.restore_state(pickle.loads(self._file.read_bytes()))
            failed = [
                reply for reply in self._pull(set(self.grid.push_messages(self._messages()))) if reply.has_error()
            ]
        assert not failed, failed[0].error.reason
        if self.name == FILES:
            self._file.write_bytes(pickle.dumps(self.grid.state_snapshot(), protocol=5))
        self.seconds.append(time.perf_counter() - started)

    def check(self) -> None:
        """Check that every client's state has come as far as the rounds have."""
        found = {float(state["s"]["s"].numpy()[0]) for state in self.grid.state_snapshot().values()}
        assert found == {float(len(self.seconds))}, found

    def _messages(self) -> list[Message]:
        return [Message(RecordDict(), node_id, "train") for node_id in self.grid.get_node_ids()]

    def _pull(self, ids: set[str]) -> list[Message]:
        replies: list[Message] = []
        while len(replies) < len(ids):
            replies += self.grid.pull_messages(ids)
            time.sleep(0.002)
        return replies


def main() -> None:
    """Measure, and print the table."""
    print(machine_sentence(describe_machine(("flwr", "ray"))), busy_warning() or "", sep="\n")
    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "num_cpus": 0, "_system_config": _QUICK})
    cluster.add_node(**_NODE)
    cluster.add_node(**_NODE)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    rows = []
    with tempfile.TemporaryDirectory() as folder, WorkerPool(WorkerResources(num_workers=2)) as pool:
        ways = [Way(name, pool, Path(folder)) for name in (COPIES, FILES, NEITHER)]
        for turn in range(NUM_ROUNDS):
            for way in ways if turn % 2 else reversed(ways):
                way.run()
        undisturbed = {way.name: statistics.median(way.seconds[1:]) for way in ways}
        lost = {way.name: _lose_a_node(cluster, pool, way) for way in ways if way.name != NEITHER}
    for name, seconds in undisturbed.items():
        rows.append((name, format_seconds(seconds), format_seconds(lost[name]) if name in lost else "ends the run"))
    ray.shutdown()
    cluster.shutdown()
    print(markdown_table(("kept", "a round", "a round that loses a node"), rows))


def _lose_a_node(cluster: Cluster, pool: WorkerPool, way: Way) -> float:
    """Return the seconds of a round in which a node is lost. Another one takes its place afterwards."""
    way.run(lambda: cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False))
    way.check()
    cluster.add_node(**_NODE)
    deadline = time.monotonic() + _BACK_S
    while len(pool.dispatcher.workers_by_node()) < 2:
        if time.monotonic() > deadline:
            alive = sum(node["Alive"] for node in ray.nodes())
            raise RuntimeError(f"no second worker after {_BACK_S:g} s, with {alive} nodes alive; run it again")
        time.sleep(0.1)
    return way.seconds[-1]


if __name__ == "__main__":
    main()
