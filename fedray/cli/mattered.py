"""What mattered in a sweep, in short, on a terminal: below the table of its trials."""

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from fedray.results.files import IMPORTANCE
from fedray.storage import read_table
from fedray.sweep.report.importance import METHODS
from fedray.sweep.report.words import by_compared, compared_words, order_of, what_mattered


def print_importance(console: Console, folder: Path) -> None:
    """Print how much each searched value mattered, by the table in a sweep's folder; nothing where there is none.

    Args:
        console: Where to.
        folder: Of the results.
    """
    if not (folder / IMPORTANCE).is_file():
        return
    importance = read_table(folder / IMPORTANCE)
    groups = by_compared(importance)
    rows = groups[0] if groups else importance
    if groups:
        console.print(_table(rows))
    console.print(what_mattered(rows), soft_wrap=True)


def _table(rows: pd.DataFrame) -> Table:
    table = Table(
        title=f"what mattered for {compared_words(rows)} (90 % interval; what chance reaches)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("value", overflow="fold")
    for method in METHODS:
        for heading in (method, "interval", "chance"):
            table.add_column(heading, justify="right", no_wrap=True)
    cells = {(row["method"], row["parameter"]): row for row in rows.to_dict("records")}
    for name in order_of(rows):
        shown = [name.rpartition(".")[2]]
        for method in METHODS:
            row = cells.get((method, name))
            shown += ["", "", ""] if row is None else [
                f"{row['importance']:.2f}", f"{row['low']:.2f}-{row['high']:.2f}", f"{row['chance']:.2f}"
            ]  # fmt: skip
        table.add_row(*shown)
    return table
