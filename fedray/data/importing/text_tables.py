"""Reading a table of text as it was written: which encoding, which separator, every cell a string as it stands."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedray.data.store import StoreError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does, so it is looked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


@dataclass(frozen=True)
class TextTable:
    """A table of strings."""

    name: str
    """The file, for messages."""
    header: tuple[str, ...]
    """Without surrounding blanks."""
    rows: tuple[tuple[str, ...], ...]
    """As long as the header each; cells without surrounding blanks, and otherwise as they are written."""
    lines: tuple[int, ...]
    """Line in the file on which each row ends."""


def read_table(file: str | Path, encoding: str | None = None) -> TextTable:
    """Read a table separated by commas, semicolons, tabs or bars.

    Args:
        file: The file. UTF-8, or what its byte order mark says.
        encoding: Encoding of a file without such a mark; unset: UTF-8.

    Raises:
        StoreError: The file cannot be read, is no text in that encoding, or a row has not as many cells as the header.
    """
    file = Path(file).expanduser()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read the table {file}: {error.strerror or error}") from None
    # What Excel writes above a header to say the separator; the rows say it again.
    text = re.sub(r"\A\ufeff?sep=.[ \t]*\r?\n", "\n", _decode(content, encoding, file))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_separator(text, file), skipinitialspace=True, strict=True
    )
    try:
        header = tuple(cell.strip() for cell in next((row for row in reader if any(row)), []))
        rows, lines = [], []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue  # spreadsheets leave empty rows at the end
            if len(row) != len(header):
                raise StoreError(
                    f"{file}, line {reader.line_num}: a row must have {len(header)} cells as the header has, but has "
                    f"{len(row)}; put cells with a separator in them in double quotes"
                )
            rows.append(tuple(cell.strip() for cell in row))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise StoreError(f"{file} is no table, line {reader.line_num}: {error}; correct the double quotes") from None
    return TextTable(str(file), header, tuple(rows), tuple(lines))


def join_tables(left: TextTable, right: TextTable, key_left: str, key_right: str) -> tuple[TextTable, int]:
    """Add the columns of another table to the rows of one, by a key.

    Args:
        left: The table whose rows stay.
        right: The other; each key stands in it once.
        key_left: Column of the key in ``left``.
        key_right: That in ``right``.

    Returns:
        The wider table, with empty cells where ``right`` has no such key, and the number of those rows.

    Raises:
        StoreError: A key is repeated in ``right``, or both have a column of one name.
    """
    added = [i for i, name in enumerate(right.header) if name != key_right]
    if both := [right.header[i] for i in added if right.header[i] in left.header]:
        raise StoreError(f"{left.name} and {right.name} both have a column {both[0]!r}; rename it in one of them")
    key = right.header.index(key_right)
    found: dict[str, tuple[str, ...]] = {}
    for row, line in zip(right.rows, right.lines, strict=True):
        if row[key] in found:
            raise StoreError(
                f"{right.name}, line {line}: {key_right} {row[key]!r} stands there twice; keep one row of it"
            )
        found[row[key]] = tuple(row[i] for i in added)
    nothing = ("",) * len(added)
    keys = [row[left.header.index(key_left)] for row in left.rows]
    rows = tuple((*row, *found.get(value, nothing)) for row, value in zip(left.rows, keys, strict=True))
    header = (*left.header, *(right.header[i] for i in added))
    return TextTable(left.name, header, rows, left.lines), sum(value not in found for value in keys)


def _decode(content: bytes, encoding: str | None, file: Path) -> str:
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise StoreError(f"{file} is a workbook of a spreadsheet program; save its sheet as CSV in UTF-8")
    if content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        raise StoreError(f"{file} is compressed; unpack it")
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    chosen = marked or encoding or "utf-8"
    if chosen == "utf-8" and b"\0" in content:
        guess = "utf-16-be" if content.startswith(b"\0") else "utf-16-le"
        raise StoreError(
            f"{file} has zero bytes, as UTF-16 without a byte order mark has; give --encoding {guess}, or save it "
            "as UTF-8"
        )
    try:
        return content.decode(chosen)
    except LookupError:
        raise StoreError(
            f"--encoding must be one that Python knows, such as cp1252 or utf-16-le, but got {chosen!r}"
        ) from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        shown = content.splitlines()[line - 1].decode("cp1252", "replace").strip()[:80] if chosen == "utf-8" else ""
        raise StoreError(
            f"{file} is no text in {chosen.upper()}, line {line}: byte 0x{content[error.start]:02x}"
            + (
                f"; if this reads right: {shown!r}, give --encoding cp1252 (Windows)"
                if shown
                else "; give its --encoding"
            )
        ) from None


def _separator(text: str, file: Path) -> str:
    """Return what separates the header's cells. In a header of one column nothing does, and a comma is as good."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    found = [separator for separator in SEPARATORS if len(_cells(first, separator)) > 1]
    if len(found) < 2:
        return found[0] if found else ","
    # Names may hold one of the others ("size, mm"): the separator is the one that all rows agree on.
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    agreed = [separator for separator in found if len({len(_cells(line, separator)) for line in lines}) == 1]
    if len(agreed) != 1:
        names = " and ".join(SEPARATORS[separator] for separator in found)
        raise StoreError(
            f"{file} can be read as separated by {names}; put names and cells with one of them in double quotes"
        )
    return agreed[0]


def _cells(line: str, separator: str) -> Sequence[str]:
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
