"""How fast features of many tiles are, in turns with torch-fidelity on the same network, and what memory they take."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.machine import busy_warning
from benchmarks.processes import MeasurementError, run_fresh
from benchmarks.tables import format_seconds, markdown_table

LEAST_RATIO = 1.5
"""How many times as fast as torch-fidelity with the network as it is published."""
MOST_MB_MORE = 0.05
"""MB that a further tile may take beside the tiles: its features take 0.001."""

SIDES = {
    "fedray": "FedRay",
    "plain": "torch-fidelity, timm's network",
    "registered": "torch-fidelity, FedRay's module",
}
_PROGRAM = Path(__file__).with_name("speed_program.py")
_TIMEOUT_S = 300.0


def run_speed(num: int, size: int, threads: list[int], turns: int, out: Path) -> str:
    """Measure in fresh processes, in turns; writes a row a process.

    Args:
        num: Tiles.
        size: Their edge in pixels.
        threads: PyTorch's, one table each.
        turns: Processes of each.
        out: Folder of the rows.

    Returns:
        The tables, in Markdown.
    """
    warning = busy_warning(limit=1.0)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"threads": count, "turn": turn, "side": side, **_measure(side, num, size, count, Path(folder))}
            for count in threads
            for turn in range(turns)
            for side in SIDES
        ]
        few = _measure("fedray", num // 10, size, threads[0], Path(folder))
    frame = pd.DataFrame(rows)
    frame.to_parquet(out / "speed.parquet")
    if (apart := frame["sum"].max() / frame["sum"].min() - 1) > 1e-4:
        raise MeasurementError(f"the sides do not have the same features: their sums are {apart:.2g} apart")
    texts = [_table(frame[frame["threads"] == count], count, num, size) for count in threads]
    return "\n\n".join(filter(None, [*texts, _memory(frame, few, num, threads[0]), warning]))


def _measure(side: str, num: int, size: int, threads: int, folder: Path) -> dict[str, float]:
    result = folder / "result.json"
    words = [sys.executable, str(_PROGRAM), side, str(result), str(num), str(size), str(threads)]
    run_fresh(words, folder / "log", _TIMEOUT_S, {"OMP_NUM_THREADS": str(threads)})
    found: dict[str, float] = json.loads(result.read_text())
    return found


def _table(frame: pd.DataFrame, threads: int, num: int, size: int) -> str:
    """Ratios of the turns, so that a slow minute of the machine concerns all sides."""
    medians: dict[Any, dict[Any, float]] = frame.groupby("side").median(numeric_only=True).to_dict("index")
    ratios = {side: {what: _ratio(frame, side, what) for what in ("seconds", "CPU seconds")} for side in SIDES}
    rows = [
        [name, *(f"{format_seconds(medians[side][what])} ({ratios[side][what]:.2f} x)" for what in ratios[side])]
        for side, name in SIDES.items()
    ]
    head = (f"features of {num:,} tiles of {size} px, {threads} thread(s)", "time", "CPU time of this process")
    least = min(ratios["plain"].values())
    verdict = f"At least {least:.2f} times as fast ({'met' if least >= LEAST_RATIO else 'not met'}: {LEAST_RATIO:g})."
    return f"{markdown_table(head, rows)}\n\n{verdict}"


def _ratio(frame: pd.DataFrame, side: str, what: str) -> float:
    turns = frame.pivot(index="turn", columns="side", values=what)
    return float((turns[side] / turns["fedray"]).median())


def _memory(frame: pd.DataFrame, few: dict[str, float], num: int, threads: int) -> str:
    many = frame[(frame["side"] == "fedray") & (frame["threads"] == threads)]["MB"].median()
    more = (many - few["MB"]) / (num - num // 10)
    met = "met" if more <= MOST_MB_MORE else "not met"
    return (
        f"Memory beside the tiles, above that of 256: {few['MB']:.0f} MB for {num // 10:,}, {many:.0f} MB for {num:,} "
        f"({met}: a further tile takes at most {MOST_MB_MORE:g} MB)."
    )
