"""A megabyte of state for each client, which proves at every visit that it is the right one."""

import os
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from benchmarks.simulation.apps.tiny import initial_weights
from benchmarks.simulation.federation import Metrics, Weights, make_client_app

__all__ = ["client_app", "count_visits", "initial_weights", "start_ledger", "update"]

# Names a folder in which every client notes its visits, apart from any engine: one byte a visit, one file a client.
_LEDGER_VARIABLE = "FEDRAY_BENCHMARK_LEDGER"
_STATE_BYTES = 1_000_000


def start_ledger(folder: Path) -> None:
    """Have the clients of this process, and of all it starts, note their visits in an empty folder."""
    os.environ[_LEDGER_VARIABLE] = str(folder)


def count_visits() -> int:
    """Return how many visits all clients have noted."""
    return sum(ledger.stat().st_size for ledger in Path(os.environ[_LEDGER_VARIABLE]).iterdir())


def update(weights: Weights, client: int, state: RecordDict) -> tuple[Weights, Metrics]:
    """Check the state that the last visit left, and rewrite all of it.

    Raises:
        ValueError: The state is another client's, or of another visit than the last.
    """
    visits = _read_visits(client)
    _check(state, client, visits)
    state["visits"] = ConfigRecord({"client": client, "count": visits + 1})
    state["payload"] = ArrayRecord({"bytes": Array(_payload(client, visits + 1))})
    _note_visit(client)
    return {"w": weights["w"] + np.float32(1e-3)}, {"num-examples": 1}


def _check(state: RecordDict, client: int, visits: int) -> None:
    if visits == 0:
        if state:
            raise ValueError(f"client {client} was never visited, but has a state: {list(state)}")
        return
    found = dict(state.config_records["visits"])
    if found != {"client": client, "count": visits}:
        raise ValueError(f"client {client} has had {visits} visit(s), but its state says {found}")
    if not np.array_equal(state.array_records["payload"]["bytes"].numpy(), _payload(client, visits)):
        raise ValueError(f"client {client}'s state after visit {visits} has wrong bytes")


def _payload(client: int, visit: int) -> np.ndarray:
    """Return bytes that differ for every client and visit."""
    return np.frombuffer(np.random.default_rng([client, visit]).bytes(_STATE_BYTES), np.uint8)


def _ledger(client: int) -> Path:
    return Path(os.environ[_LEDGER_VARIABLE]) / str(client)


def _read_visits(client: int) -> int:
    return _ledger(client).stat().st_size if _ledger(client).exists() else 0


def _note_visit(client: int) -> None:
    with _ledger(client).open("ab") as ledger:
        ledger.write(b"x")


client_app = make_client_app(update)
