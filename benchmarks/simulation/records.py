"""What Flower's records cost a client that does next to nothing: ``python -m benchmarks.simulation.records``.

The clients of ``tiny`` and of ``state_dict`` answer one message after another in one process, without Ray: with
Flower's classes as they are, with arrays that make their bytes on demand, and with records that are also made quickly,
as in a worker of FedRay. CPU time, the least of many repeats, each way in processes of its own that take turns: a busy
machine makes all of them slower, and the least of them least.
"""

import subprocess
import sys
import time
from types import ModuleType

from flwr.app import Array, ArrayRecord, Context, Message, RecordDict

from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.simulation.apps import state_dict, tiny
from benchmarks.tables import markdown_table
from fedray.simulation.wire.arrays import share
from fedray.simulation.wire.on_demand import serialise_on_demand
from fedray.simulation.wire.quick_records import make_records_quickly
from fedray.simulation.wire.runs import identify

WAYS = {
    "Flower's": (),
    "arrays on demand": (serialise_on_demand,),
    "records made quickly, too": (serialise_on_demand, make_records_quickly),
}
CLIENTS = {"NumPy (`tiny`)": tiny, "torch (`state_dict`)": state_dict}
_TURNS, _REPEATS, _CALLS = 3, 60, 100


def main() -> None:
    """Measure, and print the table; as a child process, measure one way and print the microseconds."""
    if len(sys.argv) > 1:
        print(*_measure(sys.argv[1]))
        return
    print(machine_sentence(describe_machine(("flwr", "torch", "numpy"))), busy_warning() or "", sep="\n")
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for _ in range(_TURNS):
        for way, measured in found.items():
            command = [sys.executable, "-m", "benchmarks.simulation.records", way]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            measured.append([float(number) for number in output.split()])
    rows = [(way, *(f"{min(each):.0f}" for each in zip(*measured, strict=True))) for way, measured in found.items()]
    print(markdown_table(("microseconds of a client", *CLIENTS), rows))


def _measure(way: str) -> list[float]:
    for change in WAYS[way]:
        change()
    identify(run_id=1, node_id=1)
    return [_least_microseconds(app, changed=bool(WAYS[way])) for app in CLIENTS.values()]


def _least_microseconds(app: ModuleType, changed: bool) -> float:
    arrays = ArrayRecord({name: Array(array) for name, array in app.initial_weights().items()})
    message = Message(RecordDict({"arrays": arrays}), 2, "train")
    if changed:
        message.content = share(message.content)  # as it arrives at a worker
    context = Context(1, 2, {"partition-id": 0}, RecordDict(), {})
    least = float("inf")
    for _ in range(_REPEATS):
        started = time.process_time()
        for _ in range(_CALLS):
            app.client_app(message, context)
        least = min(least, time.process_time() - started)
    return least / _CALLS * 1e6


if __name__ == "__main__":
    main()
