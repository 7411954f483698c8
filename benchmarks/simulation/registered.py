"""Rounds of a few of very many clients: ``python -m benchmarks.simulation.registered``.

A million clients of ``tiny`` are registered, and 10,000 or 100,000 of them take part in a round: how a round's seconds
and the driver's memory grow with those who take part. Each number in a process of its own, in turns.
"""

import statistics
import subprocess
import sys
from dataclasses import replace

from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.memory import PrivateMemory
from benchmarks.simulation.cases import CASES, Case
from benchmarks.simulation.engines import on_fedray
from benchmarks.simulation.federation import Recorder
from benchmarks.tables import format_seconds, markdown_table

REGISTERED = 1_000_000
TAKING_PART = {10_000: 12, 100_000: 4}
"""Rounds, the first of which is not counted, by how many clients take part in each."""
_TURNS = 2


def main() -> None:
    """Measure, and print the table; as a child process, measure one number of clients."""
    if len(sys.argv) > 1:
        print(*_measure(int(sys.argv[1])))
        return
    print(machine_sentence(describe_machine(("flwr", "ray", "numpy"))), busy_warning() or "", sep="\n")
    seconds: dict[int, list[float]] = {num: [] for num in TAKING_PART}
    memory: dict[int, list[float]] = {num: [] for num in TAKING_PART}
    for _ in range(_TURNS):
        for num in TAKING_PART:
            command = [sys.executable, "-m", "benchmarks.simulation.registered", str(num)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            peak, *rounds = [float(number) for number in output.splitlines()[-1].split()]
            seconds[num] += rounds
            memory[num].append(peak)
    rows = [
        (f"{num:,}", format_seconds(statistics.median(seconds[num])), format_seconds(min(seconds[num])),
         f"{max(memory[num]):.0f} MB")
        for num in TAKING_PART
    ]  # fmt: skip
    print(markdown_table(("clients a round", "a round, median", "quickest", "driver's memory"), rows))
    few, many = (statistics.median(seconds[num]) for num in TAKING_PART)
    print(f"\n{many / few:.1f} times the seconds for 10 times the clients")


def _measure(num: int) -> list[float]:
    """Return the driver's peak of private memory above its start in MB, then the seconds of each counted round."""
    case: Case = replace(CASES["tiny-1000"], num_clients=REGISTERED, clients_per_round=num, num_rounds=TAKING_PART[num])
    case.load_app()
    with PrivateMemory(case.memory_interval_s) as memory:
        (recorder,) = on_fedray(case, lambda: Recorder(memory, case.num_rounds))
    if len(recorder.roll_calls) != case.num_rounds:
        raise RuntimeError(f"only {len(recorder.roll_calls)} of {case.num_rounds} rounds had a result")
    counted = recorder.rounds[2:]
    return [max(each.peak_private_mb for each in recorder.rounds), *(each.seconds for each in counted)]


if __name__ == "__main__":
    main()
