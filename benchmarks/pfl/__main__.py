"""Measures FedRay against pfl: ``python -m benchmarks.pfl``; one of them alone with ``--engines``."""

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch

from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.pfl.environment import PFL_VERSION, pfl_python
from benchmarks.pfl.task import Network, seed_network
from benchmarks.pfl.turns import play
from benchmarks.processes import REPOSITORY, MeasurementError
from benchmarks.tables import format_seconds, markdown_table, replace_section

_README = REPOSITORY / "benchmarks" / "README.md"
_FEDRAY, _PFL = "fedray", "pfl"
_ENGINES = (_FEDRAY, _PFL)
_TIMEOUT_S = 900.0
_TOLERANCE = 1e-4  # how far the engines' weights may be apart, as a share of how far training moved them


def main() -> None:
    """Run the engines side by side, a round each in turns, and write the table and all rows."""
    arguments = _parse_arguments()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    warning = busy_warning()
    machine = describe_machine(("flwr", "ray", "torch", "numpy")) | {"pfl": PFL_VERSION}
    print(machine_sentence(machine), *filter(None, [warning]), sep="\n")
    rows = []
    for repeat in range(arguments.repeats):
        for num_processes in arguments.processes:
            rows += _measure(arguments.engines, num_processes, repeat, arguments.rounds, out)
            _check_weights(out, arguments.engines)
    frame = pd.DataFrame(rows)
    frame.to_parquet(out / "rounds.parquet")
    text = "\n".join([_table(frame), "", machine_sentence(machine), *([f"\n{warning}"] if warning else [])])
    (out / "table.md").write_text(text)
    print(f"\n{text}\n\nrows: {out / 'rounds.parquet'}")
    if arguments.readme:
        replace_section(_README, "pfl", text)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pfl", description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=_ENGINES, default=list(_ENGINES))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2], help="numbers of processes to compare at")
    parser.add_argument("--rounds", type=int, default=21, help="the first is not counted (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each engine runs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "pfl")
    parser.add_argument("--readme", action="store_true", help="also put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    for name, least in (("rounds", 2), ("repeats", 1)):
        if getattr(arguments, name) < least:
            parser.error(f"--{name} must be >= {least}, but got {getattr(arguments, name)}")
    if arguments.readme and set(arguments.engines) != set(_ENGINES):
        parser.error(f"--readme needs both engines, but got {', '.join(arguments.engines)}")
    return arguments


def _measure(
    engines: list[str], num_processes: int, repeat: int, num_rounds: int, out: Path
) -> list[dict[str, object]]:
    """Run the engines in fresh processes. Returns a row for each round of each."""
    print(f"{num_processes} process(es), repeat {repeat + 1} ... ", end="", flush=True)
    arguments = [str(num_processes), str(num_rounds)]
    commands = [[*_command(engine, num_processes), *arguments, str(_weights_file(out, engine))] for engine in engines]
    logs = [out / f"{engine}-{num_processes}.log" for engine in engines]
    seconds = dict(zip(engines, play(commands, logs, num_rounds, _TIMEOUT_S), strict=True))
    medians = {engine: float(pd.Series(times[1:]).median()) for engine, times in seconds.items()}
    print(", ".join(f"{engine} {format_seconds(median)}" for engine, median in medians.items()), "a round (median)")
    common = {"processes": num_processes, "repeat": repeat}
    return [
        common | {"engine": engine, "round": index, "seconds": value}
        for engine, times in seconds.items()
        for index, value in enumerate(times, 1)
    ]


def _command(engine: str, num_processes: int) -> list[str]:
    """Return how an engine is started, without its last arguments."""
    if engine == _FEDRAY:
        return [sys.executable, "-m", "benchmarks.pfl.fedray_program"]
    python = str(pfl_python())
    if num_processes == 1:
        return [python, "-m", "benchmarks.pfl.pfl_program"]
    launcher = [python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_processes}"]
    return [*launcher, "-m", "benchmarks.pfl.pfl_program"]


def _weights_file(out: Path, engine: str) -> Path:
    return out / f"{engine}.pt"


def _check_weights(out: Path, engines: list[str]) -> None:
    """Check that the last runs trained the network, and all to the same weights."""
    seed_network()
    start = Network().state_dict()
    found = {engine: torch.load(_weights_file(out, engine), weights_only=True) for engine in engines}
    for engine, weights in found.items():
        if set(weights) != set(start):
            raise MeasurementError(f"{engine}: the arrays are {sorted(weights)}, but the network's are {sorted(start)}")
    first, *others = found.values()
    moved = _largest_difference(first, start)
    apart = max((_largest_difference(first, other) for other in others), default=0.0)
    # Over all arrays: one that hardly moves differs by as much as float32 resolves.
    if not moved > 0 or not apart <= _TOLERANCE * moved:
        raise MeasurementError(f"{engines}: weights moved by up to {moved:.3g}, but are {apart:.3g} apart")


def _largest_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((array - second[name]).abs().max()) for name, array in first.items())


def _table(frame: pd.DataFrame) -> str:
    warm = frame[frame["round"] > 1].set_index(["processes", "repeat", "round", "engine"])["seconds"].unstack()
    rows = []
    for num_processes, rounds in warm.groupby(level="processes"):
        medians = rounds.median()
        cells = [format_seconds(medians[engine]) if engine in medians else "-" for engine in _ENGINES]
        rows.append([f"{num_processes}", *cells, *_verdict(rounds)])
    header = ("processes", "FedRay, a round", "pfl, a round", "ratio", "of single repeats", "target", "met")
    return markdown_table(header, rows)


def _verdict(rounds: pd.DataFrame) -> list[str]:
    """Compare rounds that followed each other: the machine's speed changes from moment to moment."""
    if not set(_ENGINES) <= set(rounds.columns):
        return ["-", "-", ">= 1x as fast", "-"]
    ratios = rounds[_PFL] / rounds[_FEDRAY]
    singles = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios.groupby(level="repeat").median()))
    met = "yes" if ratios.median() >= 1 else "**no**"
    return [f"{ratios.median():.2f}x as fast", singles, ">= 1x as fast", met]


if __name__ == "__main__":
    main()
