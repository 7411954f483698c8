"""Trains beside handed tiles and without, in this process: ``rounds.py WHICH FOLDER RESULT``.

WHICH is ``both``, a round of each in turns on the same workers, for seconds and bytes; or one of them alone, for
memory: workers keep what they once had.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import ray

from benchmarks.distribution.cases import BESIDE, NUM_WORKERS, SHAPE, census_of_case, config_of, counts_of_case
from benchmarks.distribution.family import family_cpu_s
from benchmarks.distribution.handing import RAY
from fedray.data import census_of
from fedray.federation import RoundReport, client_app, federate, initial_state, make_strategy
from fedray.federation.rounds.fedssg import COUNTS
from fedray.simulation import RayGrid, WorkerPool, WorkerResources

PLAIN, HANDED = "FedAvg", "FedAvg beside handed tiles"
NUM_ROUNDS = 3
"""Rounds of each that count; one before them warms up, and hands the tiles out."""


def main(which: str, folder: str, result: str) -> None:
    """Train, and write a row for each round."""
    names = [PLAIN, HANDED] if which == "both" else [which]
    rows = []
    ray.init(**RAY)
    with WorkerPool(WorkerResources(NUM_WORKERS, cpus_per_worker=1)) as pool:
        grids = {name: RayGrid(client_app, BESIDE.num_clients, pool) for name in names}
        rounds = {name: _rounds(name, grid, Path(folder)) for name, grid in grids.items()}
        for number in range(NUM_ROUNDS + 1):
            for name in names if number % 2 == 0 else names[::-1]:
                begin, cpu_s = time.monotonic(), family_cpu_s("ray::Worker")
                report = next(rounds[name])
                cpu_s = (family_cpu_s("ray::Worker") - cpu_s) / BESIDE.num_clients
                rows.append({"name": name, "number": number, "cpu_s": cpu_s, **_row(report, grids[name], begin)})
    ray.shutdown()
    Path(result).write_text(json.dumps(rows))


def _rounds(name: str, grid: RayGrid, folder: Path) -> Iterator[RoundReport]:
    changes = {} if name == HANDED else {"federation__mode": "federated", "classification__tiles": "real"}
    config = config_of(folder, BESIDE, **changes, **({} if name == HANDED else {"classification__synthetic": None}))
    state = initial_state(config, SHAPE)
    if name == HANDED:
        state.told = {COUNTS: counts_of_case(BESIDE)}
    census = census_of_case(BESIDE) if name == HANDED else census_of(config)
    return federate(make_strategy(config, SHAPE), grid, state, config, census)


def _row(report: RoundReport, grid: RayGrid, begin: float) -> dict[str, float]:
    states = [grid._states.get(node) for node in grid.get_node_ids()]
    written = [ray.get(state.parcel.reference)[state.place].nbytes for state in states if state is not None]
    return {
        "begin": begin,
        "end": time.monotonic(),
        "round_s": report.duration_s - report.times.get("distribution", 0.0),
        "client_s": report.times["compute"] / BESIDE.num_clients,
        "examples": report.counts["num-examples"],
        "steps": report.counts["classifier-steps"],
        "handed_bytes": report.figures.get("distribution/client-bytes", 0.0),
        "written_bytes": sum(written) / BESIDE.num_clients,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
