"""Measures training steps and calls of the network against diffusers' ``UNet2DModel``: ``python -m benchmarks.flow``.

Each side in fresh processes, in turns and in turned order, on one thread; CPU seconds, which other processes on the
machine disturb less than the clock's.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

import pandas as pd

from benchmarks.flow.peer import PACKAGES, diffusers_folder
from benchmarks.flow.program import BATCH, CALLED, SIDES
from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY, run_fresh
from benchmarks.tables import format_seconds, markdown_table, replace_section
from fedray.simulation.process.heap import heap_settings

_README = REPOSITORY / "benchmarks" / "README.md"
_TIMEOUT_S = 900.0
_PEER = "diffusers"


def main() -> None:
    """Measure all sides, and write the table and all rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow", description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[32], help="of the tiles in pixels (default: 32)")
    parser.add_argument("--turns", type=int, default=5, help="processes of each side (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=15, help="measured in a process (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "flow")
    parser.add_argument("--readme", action="store_true", help="also put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    warning, folder, rows = busy_warning(), diffusers_folder(), []
    for size in arguments.size:
        for turn in range(arguments.turns):
            for side in list(SIDES) if turn % 2 == 0 else list(SIDES)[::-1]:
                measured = _measure(side, size, arguments.steps, arguments.out.resolve(), folder)
                rows.append({"size": size, "turn": turn, "side": side, **measured})
                print(f"{size} px, turn {turn + 1}, {side}: {measured}", flush=True)
    frame = pd.DataFrame(rows)
    frame.to_parquet(arguments.out / "turns.parquet")
    machine = machine_sentence(describe_machine(("torch",)) | dict([PACKAGES[0].split("==")]))
    text = "\n".join([_table(frame), "", machine, *([f"\n{warning}"] if warning else [])])
    (arguments.out / "table.md").write_text(text)
    print(text)
    if arguments.readme:
        replace_section(_README, "flow", text)


def _measure(side: str, size: int, steps: int, out: Path, folder: Path) -> dict[str, float]:
    result = out / "measured.json"
    command = [sys.executable, "-m", "benchmarks.flow.program", side, str(size), str(steps), str(result)]
    path = f"{REPOSITORY}:{folder}" if side.startswith(_PEER) else str(REPOSITORY)
    run_fresh(command, out / "measured.log", _TIMEOUT_S, {"PYTHONPATH": path, **heap_settings()})
    measured: dict[str, float] = json.loads(result.read_text())
    return measured


def _table(frame: pd.DataFrame) -> str:
    rows = []
    for size, of_size in frame.groupby("size", sort=False):
        by_turn = {side: of_side.set_index("turn") for side, of_side in of_size.groupby("side", sort=False)}
        for side, measured in by_turn.items():
            cells = [f"{size} px", str(side), f"{measured['parameters'].iloc[0] / 1e6:.2f} M"]
            for name, write in (
                ("step_s", format_seconds),
                ("call_s", format_seconds),
                ("peak_mb", "{:.0f} MB".format),
            ):
                ratio = median(by_turn[_PEER][name] / measured[name])
                cells += [write(median(measured[name])), "" if side == _PEER else f"{ratio:.2f}"]
            rows.append(cells)
    measures = (f"step of {BATCH}", f"call for {CALLED}", "peak memory")
    compared = [column for measure in measures for column in (measure, f"{_PEER}' / its own")]
    return markdown_table(("tiles", "side", "parameters", *compared), rows)


if __name__ == "__main__":
    main()
