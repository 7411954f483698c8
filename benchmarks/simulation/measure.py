"""One case on one engine, once: ``python -m benchmarks.simulation.measure CASE ENGINE ROUNDS_FILE WEIGHTS_FILE``."""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import PrivateMemory
from benchmarks.simulation.cases import CASES, Case
from benchmarks.simulation.engines import ENGINE_FUNCTIONS
from benchmarks.simulation.federation import Recorder


def main() -> None:
    """Measure, and write the rounds as JSON, and as npz the compared weights and the roll calls."""
    name, engine, rounds_file, weights_file = sys.argv[1:]
    case = CASES[name]
    with tempfile.TemporaryDirectory() as ledger:
        if case.counts_visits:
            case.load_app().start_ledger(Path(ledger))
        recorders = _run(case, engine)
        if case.counts_visits:
            _check_visits(case, engine, recorders)
    Path(rounds_file).write_text(json.dumps(_rounds(case, recorders)))
    found = {f"weights/{name}": array for name, array in recorders[-1].weights.items()}
    if case.clients_per_round == case.num_clients:  # otherwise every engine draws other clients
        found["roll-calls"] = np.array(recorders[-1].roll_calls[: case.compared_round])
    np.savez(weights_file, allow_pickle=False, **found)


def _run(case: Case, engine: str) -> list[Recorder]:
    case.load_app()  # what it imports is not the engine's time, nor its memory
    with PrivateMemory(case.memory_interval_s) as memory:
        recorders = ENGINE_FUNCTIONS[engine](case, lambda: Recorder(memory, case.compared_round))
    for recorder in recorders:
        found = [measured.round for measured in recorder.rounds]
        if found != list(range(case.rounds_on(engine) + 1)):
            raise RuntimeError(f"{case.rounds_on(engine)} rounds were asked for, but the time stamps are of {found}")
        if len(recorder.roll_calls) != case.rounds_on(engine) or not recorder.weights:
            raise RuntimeError(f"only {len(recorder.roll_calls)} of {case.rounds_on(engine)} rounds had a result")
    return recorders


def _check_visits(case: Case, engine: str, recorders: list[Recorder]) -> None:
    expected = len(recorders) * case.rounds_on(engine) * case.clients_per_round
    if (visits := case.load_app().count_visits()) != expected:
        raise RuntimeError(f"the clients' functions were to succeed {expected} times, but did {visits} times")


def _rounds(case: Case, recorders: list[Recorder]) -> list[dict[str, Any]]:
    if len(recorders) > 1:
        return [_until_first_round(trial, recorder) for trial, recorder in enumerate(recorders, 1)]
    (recorder,) = recorders
    rows = [asdict(measured) for measured in recorder.rounds]
    for row in rows:
        if seconds_per_example := recorder.seconds_per_example.get(row["round"]):
            examples = sum(case.load_app().num_examples(client) for client in range(case.num_clients))
            row["compute_seconds"] = seconds_per_example * examples
    return rows


def _until_first_round(trial: int, recorder: Recorder) -> dict[str, Any]:
    """Return a trial as one row, its number in the place of a round's: how long its first round took to come."""
    before, first = recorder.rounds[:2]
    peak = max(before.peak_private_mb, first.peak_private_mb)
    return {"round": trial, "seconds": before.seconds + first.seconds, "peak_private_mb": peak}


if __name__ == "__main__":
    main()
