"""Measures what handing synthetic tiles out costs, and training beside them: ``python -m benchmarks.distribution``."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import pandas as pd

from benchmarks.distribution.cases import BESIDE, CASES, NUM_STEPS, make_stores
from benchmarks.distribution.family import FamilyMemory
from benchmarks.distribution.handing import FEDRAY, STOCK
from benchmarks.distribution.rounds import HANDED, PLAIN
from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY, fresh_process, wait_for_success
from benchmarks.tables import format_seconds, markdown_table, replace_section

_README = REPOSITORY / "benchmarks" / "README.md"
_PACKAGES = ("flwr", "ray", "torch", "numpy")
_TIMEOUT_S = 1800.0
_FASTER, _EXTRA = 20, 1.10

Rows = list[dict[str, float | str | int]]


def main() -> None:
    """Measure what was asked for, and write its table and all rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distribution", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which tables (default: both)")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each kind (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "distribution")
    parser.add_argument("--readme", action="store_true", help="also put the tables into benchmarks/README.md")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats must be >= 1, but got {arguments.repeats}")
    out: Path = arguments.out.resolve()
    if not (out / "stores").exists():
        make_stores(out / "stores")
    for part in arguments.parts:
        notes = [f"\n{warning}"] if (warning := busy_warning()) else []
        measure, tabulate = PARTS[part]
        frame = pd.DataFrame([row for repeat in range(arguments.repeats) for row in measure(repeat, out)])
        frame.to_parquet(out / f"{part}.parquet")
        text = "\n".join([tabulate(frame), "", machine_sentence(describe_machine(_PACKAGES)), *notes])
        (out / f"{part}.md").write_text(text)
        print(text)
        if arguments.readme:
            replace_section(_README, f"distribution-{part}", text)


def _hand_out(repeat: int, out: Path) -> Rows:
    """Hand all cases out on both engines, in turned order at every other repeat."""
    engines = (FEDRAY, STOCK) if repeat % 2 == 0 else (STOCK, FEDRAY)
    runs = [(engine, case) for case in CASES for engine in engines]
    return [
        row
        for engine, case in runs
        for row in _measure("handing", (engine, case), {"repeat": repeat, "engine": engine, "case": case}, out)
    ]


def _train(repeat: int, out: Path) -> Rows:
    """Train in turns, and with and without handed tiles alone."""
    return [
        row
        for which in ("both", *((PLAIN, HANDED) if repeat % 2 == 0 else (HANDED, PLAIN)))
        for row in _measure("rounds", (which,), {"repeat": repeat, "which": which}, out)
    ]


def _measure(program: str, words: tuple[str, ...], told: dict[str, str | int], out: Path) -> Rows:
    """Run a program in a process of its own. Returns its rows, with what memory they took."""
    result, log = out / "measured.json", out / f"{'-'.join((program, *words)).replace(' ', '-')}.log"
    command = [sys.executable, "-m", f"benchmarks.distribution.{program}", *words, str(out / "stores"), str(result)]
    with fresh_process(command, log) as process, FamilyMemory(process) as memory:
        wait_for_success(process, log, _TIMEOUT_S)
    rows = [
        {**told, **row, "seconds": row["end"] - row["begin"], "memory_mb": memory.growth_mb(row["begin"], row["end"])}
        for row in json.loads(result.read_text())
    ]
    result.unlink()
    print(" ".join(words), [round(row["seconds"], 3) for row in rows], flush=True)
    return rows


def _handing_table(frame: pd.DataFrame) -> str:
    rows = []
    for name, of_case in frame.groupby("case", sort=False):
        engines = {engine: own for engine, own in of_case.groupby("engine")}
        seconds = {engine: own.groupby("repeat")["seconds"].median() for engine, own in engines.items()}
        ratio = median(seconds[STOCK] / seconds[FEDRAY])
        cpu = median(engines[STOCK]["cpu_s"]) / max(median(engines[FEDRAY]["cpu_s"]), 0.01)  # /proc counts in 10 ms
        rows.append(
            [
                CASES[str(name)].what,
                f"{engines[FEDRAY]['bytes'].iloc[0] / 1e6:.0f} MB",
                *(format_seconds(median(seconds[engine])) for engine in (FEDRAY, STOCK)),
                f"{ratio:.3g}x as fast",
                f"{cpu:.3g}x",
                *(_memory(engines[engine]) for engine in (FEDRAY, STOCK)),
                f">= {_FASTER}x as fast",
                "yes" if ratio >= _FASTER else "no",
            ]
        )
    memory = (f"memory of {FEDRAY}", f"memory of {STOCK}")
    ratios = ("ratio", "ratio of CPU seconds")
    header = ("handed out", "tiles of all clients", FEDRAY, STOCK, *ratios, *memory, "target", "met")
    return markdown_table(header, rows)


def _memory(frame: pd.DataFrame) -> str:
    return f"{median(frame['memory_mb']):.0f} MB, {median(frame['store_mb']):.0f} MB in the store"


def _training_table(frame: pd.DataFrame) -> str:
    counted = frame[frame["number"] > 0]
    turns = counted[counted["which"] == "both"].set_index(["name", "repeat", "number"])
    alone = counted[counted["which"] != "both"].groupby("name")["memory_mb"].max()
    plain, handed = turns.loc[PLAIN], turns.loc[HANDED]
    assert (plain["steps"] == handed["steps"]).all(), "both take the same optimiser steps"
    first = frame[(frame["name"] == HANDED) & (frame["number"] == 0)]
    rows = []
    for column, what in (
        ("cpu_s", "CPU seconds of the workers, a client and round"),
        ("client_s", "seconds of a client in its app, a round"),
    ):
        ratio = median(handed[column] / plain[column])
        cells = [what, *(format_seconds(median(each[column])) for each in (plain, handed)), f"{ratio:.3f} times"]
        rows.append([*cells, f"<= {_EXTRA:.2f} times", "yes" if ratio <= _EXTRA else "no"])
    written = [median(each["written_bytes"]) / 1e6 for each in (plain, handed)]
    rows.append(["state that a client writes, a round", *(f"{mb:.2f} MB" for mb in written),
                 f"{1e3 * (written[1] - written[0]):+.1f} kB", "-", "-"])  # fmt: skip
    sent = median(first["handed_bytes"]) / 1e6
    rows.append(["tiles sent to a client, once", "0 MB", f"{sent:.1f} MB", f"+{sent:.1f} MB", "-", "-"])
    memory = [alone[name] for name in (PLAIN, HANDED)]
    rows.append(["memory of all processes in a round, two clients at a time", *(f"{mb:.0f} MB" for mb in memory),
                 f"{memory[1] - memory[0]:+.0f} MB", "-", "-"])  # fmt: skip
    header = (f"{BESIDE.what}, {NUM_STEPS} steps", PLAIN, HANDED, "difference", "target", "met")
    return markdown_table(header, rows)


PARTS: Mapping[str, tuple[Callable[[int, Path], Rows], Callable[[pd.DataFrame], str]]] = {
    "handing": (_hand_out, _handing_table),
    "training": (_train, _training_table),
}
"""What measures a repeat, and what makes a table of all of them."""


if __name__ == "__main__":
    main()
