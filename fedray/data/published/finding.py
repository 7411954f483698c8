"""The tables of a published data set: found by their files' names, and joined."""

import filecmp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from shlex import quote

from fedray.data.importing.contents import TABLE, Contents, describe_reasons
from fedray.data.importing.text_tables import TextTable, join_tables
from fedray.data.store import StoreError

_ENDINGS = ("", ".csv", ".tab", ".tsv", ".txt")
"""The Dataverse, Kaggle and the challenge's pages name one table in several ways."""


def find_table(contents: Contents, name: str) -> Path | None:
    """Find a table by its file's name without an ending, in the folder or any below it; None: it is not there.

    Raises:
        StoreError: There are several, and they differ.
    """
    named = [contents.root / e.place for e in contents.left_out if _is_table(PurePosixPath(e.place), name)]
    places = [place for place in named if place.is_file()]
    for other in places[1:]:
        if not filecmp.cmp(places[0], other, shallow=False):
            raise StoreError(f"there are two tables {name}, {places[0]} and {other}, and they differ; move one away")
    return places[0] if places else None


def require_table(contents: Contents, name: str, home: str) -> Path:
    """Find a table that must be there; ``home`` publishes it.

    Raises:
        StoreError: It is not; the message says what is.
    """
    if (file := find_table(contents, name)) is not None:
        return file
    tables = sorted({PurePosixPath(entry.place).name for entry in contents.left_out if entry.reason == TABLE})
    others = describe_reasons(entry for entry in contents.left_out if entry.reason != TABLE)
    held = f"its tables are {', '.join(map(repr, tables))}" if tables else "it holds no table"
    above = contents.root.resolve().parent
    lies_above = holds_table(above, name)
    remedy = (
        f"it lies in the folder above: --images {quote(str(above))}" if lies_above else f"put it there, it is at {home}"
    )
    raise StoreError(
        f"{contents.root} must hold the table {name}.csv, but {held}{f' ({others})' if others else ''}; {remedy}"
    )


def add_columns(table: TextTable, key: str, other: TextTable, other_key: str, columns: Sequence[str]) -> TextTable:
    """Add columns of another table of the same images; empty where it lacks an image.

    Args:
        table: The table whose rows stay.
        key: Its column of the image.
        other: The other table.
        other_key: Its column of the image.
        columns: What is taken of it; it has them.

    Raises:
        StoreError: An image stands twice in the other table.
    """
    positions = [other.header.index(name) for name in (other_key, *columns)]
    rows = tuple(tuple(row[position] for position in positions) for row in other.rows)
    narrow = replace(other, header=(other_key, *columns), rows=rows)
    return join_tables(table, narrow, key, other_key)[0]


def add_derived(table: TextTable, name: str, of_row: Callable[[Mapping[str, str]], str]) -> TextTable:
    """Add a column that follows from the others: ``of_row`` is given a row's cells by their columns' names."""
    rows = tuple((*row, of_row(dict(zip(table.header, row, strict=True)))) for row in table.rows)
    return replace(table, header=(*table.header, name), rows=rows)


def holds_table(folder: Path, name: str) -> bool:
    """Whether a table lies in a folder itself; of one that cannot be read nobody knows."""
    try:
        return any(_is_table(file, name) for file in folder.iterdir())
    except OSError:
        return False


def _is_table(file: PurePosixPath | Path, name: str) -> bool:
    return file.name.casefold() in {(name + ending).casefold() for ending in _ENDINGS}
