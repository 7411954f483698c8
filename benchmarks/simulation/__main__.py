"""Measures FedRay against Flower's engine: ``python -m benchmarks.simulation``."""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.charts import draw_bars
from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY, MeasurementError, TooSlowError, run_fresh
from benchmarks.simulation.cases import CASES, NUM_WORKERS
from benchmarks.simulation.results import ENGINES, FEDRAY, STOCK, Results
from benchmarks.simulation.targets import HEADER
from benchmarks.tables import format_seconds, markdown_table, replace_section

_README = REPOSITORY / "benchmarks" / "README.md"
_CHART = REPOSITORY / "benchmarks" / "simulation.png"
_PACKAGES = ("flwr", "ray", "torch", "numpy")
_TIMEOUT_S = 900.0
_TOLERANCE = 1e-5
_ROLL_CALL_TOLERANCE = 1e-9  # a missing client changes it by more than 1e-7


@dataclass(frozen=True)
class Run:
    """One case on one engine, once."""

    case: str
    engine: str
    repeat: int


def main() -> None:
    """Measure all that was asked for, and write table, rows and chart after every case."""
    arguments = _parse_arguments()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine(_PACKAGES)
    results = Results()
    notes = [warning] if (warning := busy_warning()) else []
    print(machine_sentence(machine), *notes, sep="\n")
    for name in arguments.cases:
        for run in _plan(name, 1 if arguments.quick else arguments.repeats):
            _measure(run, out, results, notes)
        _expected_weights(out, name).unlink()
        _write(out, arguments.cases, results, notes, machine)
    print(f"\n{(out / 'table.md').read_text()}\n\nrows: {out / 'rounds.parquet'}\nchart: {out / 'chart.png'}")
    if arguments.readme:
        replace_section(_README, "simulation", (out / "table.md").read_text())
        shutil.copy(out / "chart.png", _CHART)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which cases (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each engine runs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "simulation")
    parser.add_argument("--quick", action="store_true", help="run each engine once")
    parser.add_argument("--readme", action="store_true", help="also put table and chart into benchmarks/")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats must be >= 1, but got {arguments.repeats}")
    if arguments.readme and (arguments.quick or set(arguments.cases) != set(CASES)):
        parser.error("--readme needs all cases, and no --quick")
    return arguments


def _plan(name: str, repeats: int) -> list[Run]:
    """Return the runs of a case, engine after engine, the order turned around at every other repeat."""
    case = CASES[name]
    return [
        Run(name, engine, repeat)
        for repeat in range(repeats)
        for engine in (ENGINES if repeat % 2 == 0 else reversed(ENGINES))
        if repeat < case.repeats_on(engine, repeats)
    ]


def _measure(run: Run, out: Path, results: Results, notes: list[str]) -> None:
    """Do one run in a process of its own, and check that it computed what FedRay did at first."""
    case = CASES[run.case]
    print(f"{run.case:14} {run.engine:13} repeat {run.repeat + 1} ... ", end="", flush=True)
    stem = f"{run.case}-{run.engine.replace(' ', '-')}"
    rounds, weights = out / f"{stem}.json", out / f"{stem}.npz"
    command = [sys.executable, "-m", "benchmarks.simulation.measure", run.case, run.engine, str(rounds), str(weights)]
    timeout_s = case.stock_timeout_s if run.engine == STOCK else _TIMEOUT_S
    try:
        run_fresh(command, out / f"{stem}.log", timeout_s)
    except TooSlowError as error:
        if run.engine != STOCK:
            raise
        notes.append(f"{run.case} on Flower's engine is left out: {case.rounds_on(STOCK)} rounds {error}.")
        print(error)
        return
    results.add(run.case, run.engine, run.repeat, json.loads(rounds.read_text()))
    rounds.unlink()
    _check_weights(run, weights, out)
    seconds = results.seconds(run.case, run.engine)
    print("no round counted" if seconds is None else f"{format_seconds(seconds)} a round so far (median)")


def _check_weights(run: Run, weights: Path, out: Path) -> None:
    """Compare the weights after the last round that all engines run with those of FedRay's first run."""
    expected = _expected_weights(out, run.case)
    if run.engine == FEDRAY and run.repeat == 0:
        weights.replace(expected)
        return
    with np.load(weights) as found, np.load(expected) as wanted:
        _check_equal(run, found, wanted)
    weights.unlink()


def _expected_weights(out: Path, case: str) -> Path:
    return out / f"{case}-expected.npz"


def _check_equal(run: Run, found: "np.lib.npyio.NpzFile", wanted: "np.lib.npyio.NpzFile") -> None:
    if set(found) != set(wanted):
        raise MeasurementError(f"{run}: the arrays are {sorted(found)}, but FedRay's are {sorted(wanted)}")
    for name in wanted:
        tolerance = _ROLL_CALL_TOLERANCE if name == "roll-calls" else _TOLERANCE
        if not np.allclose(found[name], wanted[name], rtol=tolerance, atol=tolerance):
            largest = np.abs(found[name] - wanted[name]).max()
            raise MeasurementError(f"{run}: {name} differs from FedRay's by up to {largest:.3g}")


def _write(out: Path, cases: list[str], results: Results, notes: list[str], machine: dict[str, str]) -> None:
    """Write what is there so far."""
    done = [name for name in cases if results.seconds(name, FEDRAY) is not None]
    rows = [target.row(name, results, NUM_WORKERS) for name in done for target in CASES[name].targets]
    text = [markdown_table(HEADER, rows), "", machine_sentence(machine), *(f"\n{note}" for note in notes)]
    (out / "table.md").write_text("\n".join(text))
    results.write(out / "rounds.parquet", machine)
    medians = {name: {engine: results.seconds(name, engine) for engine in ENGINES} for name in done}
    shown = {name: {engine: s for engine, s in group.items() if s is not None} for name, group in medians.items()}
    draw_bars(shown, "Seconds a round (second-trial: to the first round)", out / "chart.png")


if __name__ == "__main__":
    main()
