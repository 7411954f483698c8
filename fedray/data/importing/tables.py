"""Tables: a table names the images and says what each one is."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedray.data.importing.columns import FoundColumns, find_columns
from fedray.data.importing.contents import Contents, list_contents
from fedray.data.importing.images import LeftOut, ListedImage, Listing, OnError
from fedray.data.importing.labels import MISSING_WORDS
from fedray.data.importing.named_files import AbsentFile, AmbiguousFile, NamedFiles
from fedray.data.importing.option_texts import parse_list, parse_pairs, typed
from fedray.data.importing.splits import LEFT_OUT_VALIDATION, ValidationChoice, settle_split, split_named
from fedray.data.importing.text_tables import TextTable, join_tables, read_table
from fedray.data.store import StoreError

WITHOUT_ROW = "a picture without a row in the table"
SAME_BYTES = "a picture that is at another place too, with the same bytes"
NO_FILE = "a row that names no picture"
ABSENT = "a row whose picture does not exist"
AMBIGUOUS = "a row whose picture's name has several files that differ"
NO_LABEL = "a row without a label"
NO_HOT = "a row with 0 in every one-hot column"
SEVERAL_HOT = "a row with several labels in the one-hot columns"

_REMEDIES = {
    NO_FILE: "fill the column",
    ABSENT: "names start from --images, or from the table's folder",
    AMBIGUOUS: "name them with their folders",
    NO_LABEL: "fill the column",
    NO_HOT: "a picture needs one label",
    SEVERAL_HOT: "a picture needs one label",
}


@dataclass(frozen=True)
class TableOptions:
    """How a table is read."""

    columns: str = ""
    """Which column is what, for those of another name: NAME=COLUMN,NAME=COLUMN, such as
    image=image_id,label=dx,group=lesion_id."""
    one_hot: str = ""
    """Columns of zeros and ones, one a label, instead of a label's column: COLUMN,COLUMN,..."""
    ignore: str = ""
    """Columns that are not needed: COLUMN,COLUMN,..."""
    suffix: str = ""
    """What the table leaves out of the files' names, such as .jpg."""
    join: Path | None = None
    """A second table with further columns of the same images."""
    missing: str | None = None
    """Texts that stand for an empty cell: nan,NA,... or '' for none; unset: such texts are questioned."""
    encoding: str | None = None
    """Of a table that is not UTF-8 and has no byte order mark, such as cp1252."""


def list_table(
    file: str | Path,
    images: str | Path | None = None,
    options: TableOptions | None = None,
    validation: ValidationChoice | None = None,
    on_error: OnError = "fail",
) -> Listing:
    """List the images that a table names.

    Args:
        file: The table, with a header: separated by commas, semicolons, tabs or bars.
        images: Folder that the names start from, sub-folders included; unset: the table's folder.
        options: How the table is read.
        validation: What becomes of the images of a validation split.
        on_error: What a row does that has no picture or not one label: 'fail' ends the import, 'skip' leaves it out.

    Raises:
        StoreError: The table cannot be read, a column or file is missing, or rows break a rule; the first one is named.
    """
    options = options or TableOptions()
    file = Path(file).expanduser()
    table, columns, notes = _read(file, options)
    contents = list_contents(images if images is not None else file.parent)
    files = NamedFiles(contents, options.suffix)
    cells = _Cells(table, columns, options.missing)
    listed: list[ListedImage] = []
    left_out: list[LeftOut] = []
    problems: defaultdict[str, list[str]] = defaultdict(list)
    for line, row, hot in cells.rows():
        place = f"{file.name}, line {line}" + (f" ({row['image']})" if row["image"] else "")
        try:
            path = _find(files, row["image"])
            label = _one_label(row.get("label"), hot)
        except _RowProblem as problem:
            problems[problem.reason].append(place + problem.detail)
            continue
        split = _split(row.get("split", ""), validation, f"{file}, line {line}: {row.get('split')!r}")
        if split == "":
            left_out.append(LeftOut(place, LEFT_OUT_VALIDATION))
            continue
        more = {name: row[name] for name in row if name not in ("image", "label", "split") and row[name]}
        source = path.relative_to(contents.root).as_posix() if path.is_relative_to(contents.root) else row["image"]
        listed.append(ListedImage(path, source, label, split=split, **more))
    cells.question_missing()
    _check_rows(file, listed, problems, on_error)
    left_out += [LeftOut(place, reason) for reason, places in problems.items() for place in places]
    left_out += _unnamed(contents, files, {file, options.join})
    return Listing(tuple(listed), tuple(left_out), (*notes, *_note_empty(columns, listed)))


class _RowProblem(Exception):
    """A row that does not become a tile."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Take the reason, as the summary counts it, and what stands behind the row's place."""
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def _find(files: NamedFiles, word: str) -> Path:
    if not word:
        raise _RowProblem(NO_FILE)
    try:
        return files.find(word)
    except AbsentFile as hint:
        raise _RowProblem(ABSENT, f", but {hint}" if str(hint) else "") from None
    except AmbiguousFile as both:
        raise _RowProblem(AMBIGUOUS, f": {both}") from None


def _read(file: Path, options: TableOptions) -> tuple[TextTable, FoundColumns, list[str]]:
    given = parse_pairs(options.columns, "--columns", "NAME=COLUMN,NAME=COLUMN")
    one_hot, ignored = (parse_list(text) for text in (options.one_hot, options.ignore))
    table, notes = read_table(file, options.encoding), []
    if options.join is not None:
        other, key = read_table(options.join, options.encoding), given.get("image", "image")
        for either in (table, other):
            if key not in either.header:
                raise StoreError(
                    f"{either.name} has no column {key!r}, by which --join finds an image in both tables; it has "
                    f"{', '.join(map(repr, either.header))} (--columns image=COLUMN names another one)"
                )
        table, unmatched = join_tables(table, other, key, key)
        if unmatched:
            notes.append(f"{unmatched} of {len(table.rows)} images have no row in {options.join.name}")
    if not given.get("label") and "label" not in table.header and not one_hot:
        _suggest_one_hot(table)
    columns = find_columns(table.header, given, one_hot, ignored, table.name)
    if unread := [*ignored, *columns.unused]:
        notes.append(f"columns of {file.name} that were not read: {', '.join(unread)}")
    return table, columns, notes


def _suggest_one_hot(table: TextTable) -> None:
    """Refuse a table without a label that has columns of zeros and ones."""
    binary = [
        name
        for position, name in enumerate(table.header)
        if name and table.rows and all(_hot(row[position]) is not None for row in table.rows)
    ]
    if len(binary) > 1:
        raise StoreError(
            f"{table.name} has no column 'label', but {len(binary)} columns of zeros and ones; if each is a label: "
            f"{typed('--one-hot', binary)}"
        )


class _Cells:
    """The cells of the known columns, row by row, empty where a value is missing."""

    def __init__(self, table: TextTable, columns: FoundColumns, missing: str | None) -> None:
        self._table = table
        self._place = {name: table.header.index(column) for name, column in columns.names.items()}
        self._one_hot = {label: table.header.index(label) for label in columns.one_hot}
        self._missing = None if missing is None else set(parse_list(missing))
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
        if (value := _hot(cell)) is None:
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


def _hot(cell: str) -> bool | None:
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
            f"{where} must be train, test or val in the column of the split; write those words "
            "into it, or leave the split to the import: --ignore with the column's name"
        )
    return settle_split(found, validation, where) or ""


def _check_rows(file: Path, listed: list[ListedImage], problems: dict[str, list[str]], on_error: OnError) -> None:
    """Check what only shows over all rows."""
    if problems and on_error == "fail":
        reason, places = max(problems.items(), key=lambda item: len(item[1]))
        others = "".join(f"; {len(more)} x {other}" for other, more in problems.items() if other != reason)
        raise StoreError(
            f"{file} has {len(places)} x {reason}, first: {places[0]}{others}; {_REMEDIES[reason]}; or go on without "
            "those rows: --on-error skip"
        )
    named = Counter(os.path.normpath(image.path) for image in listed)
    if repeated := [path for path, count in named.items() if count > 1]:
        raise StoreError(
            f"{file} names {len(repeated)} images more than once, first {repeated[0]}; keep one row of each"
        )
    unsplit = [image.source for image in listed if image.split is None]
    if unsplit and len(unsplit) < len(listed):
        raise StoreError(
            f"{file}: {len(unsplit)} rows have no split, first {unsplit[0]}; fill the column, or leave the split to "
            "the import: --ignore split"
        )


def _unnamed(contents: Contents, files: NamedFiles, tables: set[Path | None]) -> Iterator[LeftOut]:
    """Yield what lies in the images' folder beside the images that rows name."""
    for image in contents.images:
        if os.path.normpath(contents.root / image) not in files.named:
            yield LeftOut(str(image), SAME_BYTES if str(image) in files.copies else WITHOUT_ROW)
    real = {table.expanduser().resolve() for table in tables if table is not None}
    yield from (entry for entry in contents.left_out if (contents.root / entry.place).resolve() not in real)


def _note_empty(columns: FoundColumns, listed: list[ListedImage]) -> Iterator[str]:
    without = sum(not image.group for image in listed)
    if empty := [label for label in columns.one_hot if label not in {image.label for image in listed}]:
        yield f"one-hot columns that no image has a 1 in: {', '.join(empty)}"
    if "group" in columns.names and without:
        yield f"{without} of {len(listed)} images have no group: each is a group of its own"
