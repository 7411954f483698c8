"""CPU seconds of an evaluation of 256 tiles at 32 px, in turns with an earlier commit's, and beside a round's."""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.machine import busy_warning
from benchmarks.processes import REPOSITORY, run_fresh
from benchmarks.tables import format_seconds, markdown_table
from fedray.data import cache_dir
from fedray.simulation.process.heap import heap_settings

COMMIT = "a57ff4c"
"""The last commit with ``domain-cnn`` as the default, FID and KID alone."""
MOST_RATIO, MOST_SHARE = 3.0, 0.1
"""Limits: of the earlier evaluation's seconds, and of a default round's."""

_PROGRAM = Path(__file__).with_name("cost_program.py")
_NOW, _THEN = "now", "then"
_TIMEOUT_S = 900.0


def run_cost(commit: str, turns: int, out: Path) -> str:
    """Measure both in fresh processes, in turns; writes a row a process.

    Args:
        commit: Of this repository, with which today's evaluation is compared.
        turns: Processes of each.
        out: Folder of the rows.

    Returns:
        The table, in Markdown.
    """
    warning = busy_warning(limit=1.0)
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / commit
        _check_out(commit, earlier)
        trees = {_NOW: REPOSITORY, _THEN: earlier}
        rows = [{"turn": turn, "code": code, **_measure(code, tree, Path(folder))}
                for turn in range(turns) for code, tree in trees.items()]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.to_parquet(out / "cost.parquet")
    return "\n\n".join(filter(None, [_table(frame, commit), _verdict(frame), warning]))


def _check_out(commit: str, folder: Path) -> None:
    packed = subprocess.run(["git", "archive", commit, "fedray"], cwd=REPOSITORY, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _measure(code: str, tree: Path, folder: Path) -> dict[str, float]:
    """Run the program with one version of FedRay. Each has a cache of its own, so that neither reads the other's."""
    result, log = folder / f"{code}.json", folder / f"{code}.log"
    cache = cache_dir() / "benchmarks" / f"evaluation-{code}"
    environment = {**heap_settings(), "PYTHONPATH": str(tree), "FEDRAY_CACHE": str(cache)}  # as a worker has it
    run_fresh([sys.executable, str(_PROGRAM), str(result), *(["--round"] if code == _NOW else [])], log,
              _TIMEOUT_S, environment)  # fmt: skip
    found: dict[str, float] = json.loads(result.read_text())
    return found


def _table(frame: pd.DataFrame, commit: str) -> str:
    medians: dict[Any, dict[Any, float]] = frame.groupby("code").median(numeric_only=True).to_dict("index")
    parts = [str(name) for name in frame if name not in ("turn", "code", "peak MB", "round")]

    def seconds(code: str, part: str) -> str:
        return "-" if pd.isna(medians[code][part]) else format_seconds(medians[code][part])

    rows = [[part, *(seconds(code, part) for code in (_NOW, _THEN))] for part in parts]
    rows.append(["peak memory", *(f"{medians[code]['peak MB']:.0f} MB" for code in (_NOW, _THEN))])
    return markdown_table(("CPU seconds", "FedRay", f"commit {commit}"), rows)


def _verdict(frame: pd.DataFrame) -> str:
    """Ratios of the turns, so that a slow minute of the machine concerns both sides."""
    now, then = (frame[frame["code"] == code].set_index("turn") for code in (_NOW, _THEN))
    ratio, share = (now["whole"] / then["whole"]).median(), (now["whole"] / now["round"]).median()
    return (
        f"{ratio:.2f} times the earlier evaluation ({_met(ratio <= MOST_RATIO)}: at most {MOST_RATIO:g}); "
        f"{share:.0%} of a default round of {format_seconds(now['round'].median())} CPU "
        f"({_met(share <= MOST_SHARE)}: at most {MOST_SHARE:.0%})."
    )


def _met(met: bool) -> str:
    return "met" if met else "not met"
