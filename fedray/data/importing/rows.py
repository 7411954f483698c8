"""The rows of a table, one by one: each becomes a listed image, or is left out, or has a problem."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedray.data.importing.columns import FoundColumns
from fedray.data.importing.images import LeftOut, ListedImage, OnError
from fedray.data.importing.labels import MISSING_WORDS
from fedray.data.importing.named_files import AbsentFile, AmbiguousFile
from fedray.data.importing.option_texts import typed
from fedray.data.importing.splits import LEFT_OUT_VALIDATION, ValidationChoice, settle_split, split_named
from fedray.data.importing.text_tables import TextTable
from fedray.data.store import StoreError

NO_FILE = "a row that names no picture"
ABSENT = "a row whose picture does not exist"
AMBIGUOUS = "a row whose picture's name has several files that differ"
NO_LABEL = "a row without a label"
NO_HOT = "a row with 0 in every one-hot column"
SEVERAL_HOT = "a row with several labels in the one-hot columns"

REMEDIES = {
    NO_FILE: "fill the column",
    ABSENT: "names start from --images, or from the table's folder",
    AMBIGUOUS: "name them with their folders",
    NO_LABEL: "fill the column",
    NO_HOT: "a picture needs one label",
    SEVERAL_HOT: "a picture needs one label",
}


@dataclass
class Rows:
    """What became of the rows of a table."""

    listed: list[ListedImage] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    problems: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Places of the rows with a problem, by what it is."""


def list_rows(
    table: TextTable,
    columns: FoundColumns,
    find: Callable[[str], Path],
    root: Path,
    *,
    missing: Container[str] | None,
    validation: ValidationChoice | None,
) -> Rows:
    """List the images that the rows name.

    Args:
        table: The table.
        columns: Which of its columns is what.
        find: Returns the picture of a word; raises AbsentFile or AmbiguousFile.
        root: Folder that the images' sources start from, where they lie in it.
        missing: Cells that stand for an empty one; None: such cells are questioned.
        validation: What becomes of the images of a validation split.

    Raises:
        StoreError: A cell cannot be read, or looks like a missing value.
    """
    rows, cells, file = Rows(), _Cells(table, columns, missing), Path(table.name)
    for line, row, hot in cells.rows():
        place = f"{file.name}, line {line}" + (f" ({row['image']})" if row["image"] else "")
        try:
            path = _find(find, row["image"])
            label = _one_label(row.get("label"), hot)
        except _RowProblem as problem:
            rows.problems[problem.reason].append(place + problem.detail)
            continue
        split = _split(row.get("split", ""), validation, f"{file}, line {line}: {row.get('split')!r}")
        if split == "":
            rows.left_out.append(LeftOut(place, LEFT_OUT_VALIDATION))
            continue
        more = {name: row[name] for name in row if name not in ("image", "label", "split") and row[name]}
        source = path.relative_to(root).as_posix() if path.is_relative_to(root) else row["image"]
        rows.listed.append(ListedImage(path, source, label, split=split, **more))
    cells.question_missing()
    return rows


def settle_problems(file: Path, rows: Rows, on_error: OnError, remedies: Mapping[str, str]) -> list[LeftOut]:
    """Return the rows with a problem as left out.

    Raises:
        StoreError: There are some, and ``on_error`` is 'fail'; the most frequent problem is named.
    """
    problems = rows.problems
    if problems and on_error == "fail":
        reason, places = max(problems.items(), key=lambda item: len(item[1]))
        others = "".join(f"; {len(more)} x {other}" for other, more in problems.items() if other != reason)
        raise StoreError(
            f"{file} has {len(places)} x {reason}, first: {places[0]}{others}; {remedies[reason]}; or go on without "
            "those rows: --on-error skip"
        )
    return [LeftOut(place, reason) for reason, places in problems.items() for place in places]


def check_repeated(listed: Sequence[ListedImage], origin: str) -> None:
    """Check that no image is named twice.

    Raises:
        StoreError: One is.
    """
    named = Counter(os.path.normpath(image.path) for image in listed)
    if repeated := [path for path, count in named.items() if count > 1]:
        raise StoreError(
            f"{origin} names {len(repeated)} images more than once, first {repeated[0]}; keep one row of each"
        )


class _RowProblem(Exception):
    """A row that does not become a tile."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Take the reason, as the summary counts it, and what stands behind the row's place."""
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def _find(find: Callable[[str], Path], word: str) -> Path:
    if not word:
        raise _RowProblem(NO_FILE)
    try:
        return find(word)
    except AbsentFile as hint:
        raise _RowProblem(ABSENT, f", but {hint}" if str(hint) else "") from None
    except AmbiguousFile as both:
        raise _RowProblem(AMBIGUOUS, f": {both}") from None


class _Cells:
    """The cells of the known columns, row by row, empty where a value is missing."""

    def __init__(self, table: TextTable, columns: FoundColumns, missing: Container[str] | None) -> None:
        self._table = table
        self._place = {name: table.header.index(column) for name, column in columns.names.items()}
        self._one_hot = {label: table.header.index(label) for label in columns.one_hot}
        self._missing = missing
        self._doubtful: Counter[tuple[str, str]] = Counter()

    def rows(self) -> Iterator[tuple[int, dict[str, str], list[str]]]:
        """Yield the line, the cells by the known columns' names ('image' is one), and the one-hot labels that are 1.

        Raises:
            StoreError: A one-hot cell is neither 0 nor 1.
        """
        for line, row in zip(self._table.lines, self._table.rows, strict=True):
            cells = {name: row[position] for name, position in self._place.items()}
            for name, cell in cells.items():
                if self._missing is not None and cell in self._missing:
                    cells[name] = ""
                elif self._missing is None and cell and name != "label" and cell.lower() in MISSING_WORDS:
                    self._doubtful[name, cell] += 1
            yield line, cells, [label for label in self._one_hot if self._is_hot(line, row, label)]

    def _is_hot(self, line: int, row: tuple[str, ...], label: str) -> bool:
        cell = row[self._one_hot[label]]
        if (value := hot_value(cell)) is None:
            raise StoreError(
                f"{self._table.name}, line {line}: the one-hot column {label!r} must be 0 or 1, but is {cell!r}"
            )
        return value

    def question_missing(self) -> None:
        """Refuse cells that look like a missing value: patients named 'nan' are not one patient."""
        for (name, cell), count in self._doubtful.most_common(1):
            raise StoreError(
                f"{self._table.name} has {cell!r} as {name} in {count} rows, which often stands for a missing one; "
                f"{typed('--missing', [cell])} reads it as an empty cell, --missing '' takes it as it stands"
            )


def hot_value(cell: str) -> bool | None:
    """Return what a cell of a one-hot column says; None: it is no such cell."""
    return {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}.get(cell.lower())


def _one_label(cell: str | None, hot: list[str]) -> str:
    """Return a row's label: the cell of the label's column, or where there is none, the one that is hot."""
    if cell is not None:
        hot = [cell] if cell else []
    if len(hot) != 1:
        raise _RowProblem(NO_LABEL if cell is not None else SEVERAL_HOT if hot else NO_HOT)
    return hot[0]


def _split(cell: str, validation: ValidationChoice | None, where: str) -> str | None:
    """Return a row's split; None: it has none, empty: its image is left out."""
    if not cell:
        return None
    found = split_named(cell)
    if found is None:
        raise StoreError(
            f"{where} must be train, test or val in the column of the split; write those words into it, or, of a table "
            "that --csv names, leave the split to the import: --ignore with the column's name"
        )
    return settle_split(found, validation, where) or ""
