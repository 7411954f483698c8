"""All measurements of a run, one row a round, and the medians over them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FEDRAY, STOCK, FLOOR = "FedRay", "Flower stock", "floor"
ENGINES = (FEDRAY, STOCK, FLOOR)

_COLUMNS = {
    "case": "str",
    "engine": "str",
    "repeat": "int64",
    "round": "int64",
    "seconds": "float64",
    "peak_private_mb": "float64",
    "compute_seconds": "float64",
}


class Results:
    """The measurements. Medians are over the rounds from the second on, of all repeats; None where there are none."""

    def __init__(self) -> None:
        """Start with none."""
        self._rows: list[dict[str, Any]] = []

    def add(self, case: str, engine: str, repeat: int, rounds: list[dict[str, Any]]) -> None:
        """Add the rounds of one repeat."""
        self._rows += [{"case": case, "engine": engine, "repeat": repeat, **measured} for measured in rounds]

    def frame(self) -> pd.DataFrame:
        """Return all rows: case, engine, repeat, round, seconds, peak_private_mb, compute_seconds."""
        return pd.DataFrame(self._rows, columns=list(_COLUMNS)).astype(_COLUMNS)

    def write(self, path: Path, machine: dict[str, str]) -> None:
        """Write all rows as Parquet, with the machine as the file's metadata."""
        table = pa.Table.from_pandas(self.frame(), preserve_index=False)
        pq.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | machine), path)

    def seconds(self, case: str, engine: str) -> float | None:
        """Return the median duration of a round."""
        return _median(self._warm_rounds(case, engine)["seconds"])

    def times_as_fast(self, case: str, engine: str, peer: str) -> float | None:
        """Return how many times as fast as a peer an engine is: the median over the repeats.

        A shared machine's speed changes from minute to minute, and not alike for an engine that waits most of the time.
        """
        medians = [
            self._warm_rounds(case, name).groupby("repeat")["seconds"].median().rename(name) for name in (engine, peer)
        ]
        pairs = pd.concat(medians, axis=1).ffill()  # a slow peer runs less often
        return _median((pairs[peer] / pairs[engine]).dropna())

    def times_compute(self, case: str, engine: str, num_workers: int) -> float | None:
        """Return the median of a round's duration over the share of its clients' time that falls on each worker."""
        rounds = self._warm_rounds(case, engine).dropna(subset=["compute_seconds"])
        return _median(rounds["seconds"] / (rounds["compute_seconds"] / num_workers))

    def peak_memory_mb(self, case: str, engine: str) -> float | None:
        """Return the driver's largest private memory above that at the start; the median over the repeats."""
        return _median(self._rounds(case, engine).groupby("repeat")["peak_private_mb"].max())

    def memory_growth_mb(self, case: str, engine: str) -> float | None:
        """Return the driver's largest private memory in the rounds above that before them; median over the repeats."""
        rounds = self._rounds(case, engine)
        before = rounds[rounds["round"] == 0].set_index("repeat")["peak_private_mb"]
        during = rounds[rounds["round"] > 0].groupby("repeat")["peak_private_mb"].max()
        return _median(during - before)

    def _rounds(self, case: str, engine: str) -> pd.DataFrame:
        frame = self.frame()
        return frame[(frame["case"] == case) & (frame["engine"] == engine)]

    def _warm_rounds(self, case: str, engine: str) -> pd.DataFrame:
        rounds = self._rounds(case, engine)
        return rounds[rounds["round"] > 1]


def _median(values: "pd.Series[float]") -> float | None:
    return float(values.median()) if len(values) else None
