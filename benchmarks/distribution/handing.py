"""Hands a case's tiles out on one engine, in this process: ``handing.py ENGINE CASE FOLDER RESULT``.

Server and clients are FedRay's on both engines, :class:`fedray.federation.rounds.fedssg.Distribution` and its client
app. The clients' counts are given, as they are to a run that goes on: what is measured is from the server's store to
the clients' states and back.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import ray
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from benchmarks.distribution.app import DIGEST, app
from benchmarks.distribution.cases import (
    CASES,
    NUM_WORKERS,
    OBJECT_STORE_BYTES,
    SHAPE,
    Case,
    census_of_case,
    config_of,
    counts_of_case,
)
from benchmarks.distribution.family import family_cpu_s
from benchmarks.distribution.store import store_mb
from fedray.config import ExperimentConfig
from fedray.data.distribution import handed_out, planned
from fedray.data.supply import supply_for
from fedray.federation import Account, initial_state
from fedray.federation.rounds.fedssg import COUNTS, Distribution
from fedray.simulation import RayGrid, WorkerPool, WorkerResources

FEDRAY, STOCK = "FedRay", "Flower stock"
NUM_TIMES = 3
"""Distributions that count; one before them starts the workers and lets them import what they need."""

RAY: dict[str, Any] = {
    "address": "local",
    "num_cpus": NUM_WORKERS,
    "object_store_memory": OBJECT_STORE_BYTES,
    "include_dashboard": False,
    "logging_level": "WARNING",
}
Serve = Callable[[Grid], None]


def main(engine: str, name: str, folder: str, result: str) -> None:
    """Hand out, check what arrived, and write spans of time, bytes and what the object store holds then."""
    case = CASES[name]
    config = config_of(Path(folder), case, classification__refresh_every=1)
    rows: list[dict[str, float]] = []

    def serve(grid: Grid) -> None:
        rows.extend(hand_out(grid, config, case))
        check(grid, config, case)

    ENGINES[engine](case, serve)
    Path(result).write_text(json.dumps(rows))


def hand_out(grid: Grid, config: ExperimentConfig, case: Case) -> list[dict[str, float]]:
    """Hand a case's tiles out before one round after another. The first of them is not in what is returned."""
    census = census_of_case(case)
    state = initial_state(config, SHAPE)
    state.told = {COUNTS: counts_of_case(case)}
    distribution = Distribution(config, census, Account())
    rows = []
    for number in range(NUM_TIMES + 1):
        state.round_index, begin, cpu_s = number, time.monotonic(), family_cpu_s()
        cost = distribution.cost_of_round(grid, state)
        end = time.monotonic()
        assert cost.num_tiles == case.num_handed * case.num_clients, "all were handed out"
        used = {"cpu_s": family_cpu_s() - cpu_s, "bytes": cost.num_bytes, "store_mb": store_mb()}
        rows.append({"begin": begin, "end": end, **used})
    return rows[1:]


def check(grid: Grid, config: ExperimentConfig, case: Case) -> None:
    """Compare what the clients have with what they were to get last.

    Raises:
        RuntimeError: It is something else.
    """
    census, path = census_of_case(case), str(config.classification.synthetic)
    supply = supply_for(path, SHAPE, census.label_names, census.domain_names, "of the benchmark")
    plan = planned(config, counts_of_case(case), supply.stock())
    wanted = Counter(
        sha256(supply.read(indices).tiles.tobytes()).hexdigest()
        for indices in handed_out(supply, plan, config.seed, NUM_TIMES)
    )
    messages = [Message(RecordDict(), node, f"query.{DIGEST}") for node in grid.get_node_ids()]
    found = Counter(str(reply.content[DIGEST][DIGEST]) for reply in grid.send_and_receive(messages))
    if found != wanted:
        raise RuntimeError(f"{(wanted - found).total()} of {case.num_clients} clients have other tiles than were meant")


def on_fedray(case: Case, serve: Serve) -> None:
    """Serve clients of FedRay's engine."""
    ray.init(**RAY)
    with WorkerPool(WorkerResources(NUM_WORKERS, cpus_per_worker=1)) as pool:
        grid = RayGrid(app, case.num_clients, pool)
        serve(grid)
        grid.close()
    ray.shutdown()


def on_stock(case: Case, serve: Serve) -> None:
    """Serve clients of Flower's engine."""
    from flwr.simulation import run_simulation

    server_app = ServerApp()

    @server_app.main()
    def run(grid: Grid, context: Context) -> None:
        while len(list(grid.get_node_ids())) < case.num_clients:
            time.sleep(0.01)  # it starts this function while it is still registering its nodes
        serve(grid)

    backend: Any = {"init_args": RAY, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(server_app, app, case.num_clients, backend_config=backend)


ENGINES: Mapping[str, Callable[[Case, Serve], None]] = {FEDRAY: on_fedray, STOCK: on_stock}


if __name__ == "__main__":
    main(*sys.argv[1:])
