"""Tables: a table names the images and says what each one is."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedray.data.importing.columns import FoundColumns, find_columns
from fedray.data.importing.contents import Contents, list_contents
from fedray.data.importing.images import LeftOut, ListedImage, Listing, OnError
from fedray.data.importing.named_files import NamedFiles
from fedray.data.importing.option_texts import parse_list, parse_pairs, typed
from fedray.data.importing.rows import REMEDIES, check_repeated, hot_value, list_rows, settle_problems
from fedray.data.importing.splits import ValidationChoice
from fedray.data.importing.text_tables import TextTable, join_tables, read_table
from fedray.data.store import StoreError

WITHOUT_ROW = "a picture without a row in the table"
SAME_BYTES = "a picture that is at another place too, with the same bytes"


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
    missing = None if options.missing is None else set(parse_list(options.missing))
    rows = list_rows(table, columns, files.find, contents.root, missing=missing, validation=validation)
    left_out = [*rows.left_out, *settle_problems(file, rows, on_error, REMEDIES)]
    check_repeated(rows.listed, str(file))
    _check_splits(file, rows.listed)
    left_out += pictures_without_row(contents, files, [file, *([options.join] if options.join else [])])
    notes += note_empty(columns, rows.listed)
    return Listing(tuple(rows.listed), tuple(left_out), tuple(notes), (contents.root,))


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
        if name and table.rows and all(hot_value(row[position]) is not None for row in table.rows)
    ]
    if len(binary) > 1:
        raise StoreError(
            f"{table.name} has no column 'label', but {len(binary)} columns of zeros and ones; if each is a label: "
            f"{typed('--one-hot', binary)}"
        )


def _check_splits(file: Path, listed: list[ListedImage]) -> None:
    unsplit = [image.source for image in listed if image.split is None]
    if unsplit and len(unsplit) < len(listed):
        raise StoreError(
            f"{file}: {len(unsplit)} rows have no split, first {unsplit[0]}; fill the column, or leave the split to "
            "the import: --ignore split"
        )


def pictures_without_row(contents: Contents, files: NamedFiles, tables: Sequence[Path]) -> Iterator[LeftOut]:
    """Yield what lies in the images' folder beside the images that rows name, and beside the tables."""
    for image in contents.images:
        if os.path.normpath(contents.root / image) not in files.named:
            yield LeftOut(str(image), SAME_BYTES if str(image) in files.copies else WITHOUT_ROW)
    real = {table.expanduser().resolve() for table in tables}
    yield from (entry for entry in contents.left_out if (contents.root / entry.place).resolve() not in real)


def note_empty(columns: FoundColumns, listed: Sequence[ListedImage]) -> Iterator[str]:
    """Yield what the columns leave unsaid: labels that no image has, images without a group."""
    without = sum(not image.group for image in listed)
    if empty := [label for label in columns.one_hot if label not in {image.label for image in listed}]:
        yield f"one-hot columns that no image has a 1 in: {', '.join(empty)}"
    if "group" in columns.names and without:
        yield f"{without} of {len(listed)} images have no group: each is a group of its own"
