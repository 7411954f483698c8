"""Data sets that are published as tables and folders of pictures: declared by their tables, columns and quirks."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fedray.data.importing.columns import FoundColumns, check_columns, find_columns
from fedray.data.importing.contents import Contents, list_contents
from fedray.data.importing.images import DEFAULT_DOMAIN, LeftOut, ListedImage, Listing, OnError
from fedray.data.importing.labels import MISSING_WORDS
from fedray.data.importing.named_files import NamedFiles
from fedray.data.importing.outside import OutsideChoice, refuse_table_outside
from fedray.data.importing.rows import ABSENT, REMEDIES, Rows, check_repeated, list_rows, settle_problems
from fedray.data.importing.splits import ValidationChoice
from fedray.data.importing.tables import pictures_without_row
from fedray.data.importing.text_tables import TextTable, read_table
from fedray.data.published.finding import add_columns, add_derived, find_table, holds_table, require_table
from fedray.data.published.pictures import Pictures
from fedray.data.published.source import without_lone_split
from fedray.data.store import StoreError

UNPUBLISHED = "a row whose picture was never published"
UNLABELLED = "a row of a test table without labels"
UNKNOWN_DOMAIN = "unknown"

_MISSING = {spelt for word in MISSING_WORDS for spelt in (word, word.upper(), word.title())} | {"NaN"}
"""Empty cells, as programs spell them that wrote a table anew."""
_DOMAIN = "(domain)"


@dataclass(frozen=True)
class Join:
    """Columns of a further table of the same images."""

    table: str
    """Its file's name, without an ending."""
    image: str
    """Its column of the image."""
    columns: tuple[str, ...]
    required: bool = True
    """Whether the import needs the table; else its columns are missing without it."""


@dataclass(frozen=True)
class Part:
    """A table of a data set."""

    table: str
    """Its file's name, without an ending."""
    split: Literal["train", "test"]
    """Where its images are, if no column says it."""
    pictures: str
    """The archives of its pictures, for messages."""
    columns: Mapping[str, str]
    """Which column is the image, the label, the group, ...: those that it must have."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """The same of those that it may lack."""
    joins: tuple[Join, ...] = ()
    required: bool = True
    """Whether the import needs it."""

    @property
    def label(self) -> str:
        """Its column of the label; empty: no single column is."""
        return self.columns.get("label") or self.optional.get("label", "")


@dataclass(frozen=True)
class TableSource:
    """A data set of tables; a :class:`fedray.data.published.source.Source`."""

    title: str
    home: str
    """Where it is published, for messages."""
    parts: tuple[Part, ...]
    one_hot: tuple[str, ...] = ()
    """Columns of zeros and ones, one a label, where no column is the label."""
    domain_of: Callable[[Mapping[str, str]], str] | None = None
    """A row's domain by its cells, where no column is the domain."""
    loose_end: str = ""
    """What names of pictures end in or not, whatever the table says."""
    set_aside: Mapping[str, str] = field(default_factory=dict)
    """Labels that the test set alone has, each with its meaning: a store has every label in both."""
    unpublished: frozenset[str] = frozenset()
    """Images that tables name and nobody has."""

    def is_in(self, folder: Path) -> bool:
        """Whether the first table lies in a folder."""
        return holds_table(folder, self.parts[0].table)

    def list_images(
        self, folder: Path, validation: ValidationChoice | None, on_error: OnError, outside: OutsideChoice = "refuse"
    ) -> Listing:
        """List the images of all tables that are there; see :meth:`fedray.data.published.source.Source.list_images`."""
        contents = list_contents(folder)
        files = NamedFiles(contents)
        reader = _Reader(self, contents, Pictures(files, self.loose_end), validation, on_error, outside)
        for part in self.parts:
            if (file := reader.find(part.table, part.required)) is not None:
                reader.read(part, file)
        check_repeated(reader.listed, str(contents.root))
        listing = Listing(tuple(reader.listed), tuple(reader.left_out), tuple(reader.notes), (contents.root,))
        listing = without_lone_split(_without_set_aside(listing, self.set_aside))
        left_out = (*listing.left_out, *pictures_without_row(contents, files, reader.tables))
        return replace(listing, left_out=left_out)


@dataclass
class _Reader:
    """Reads one table after another, and keeps what was found."""

    source: TableSource
    contents: Contents
    pictures: Pictures
    validation: ValidationChoice | None
    on_error: OnError
    outside: OutsideChoice
    listed: list[ListedImage] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)

    def find(self, table: str, required: bool) -> Path | None:
        """Find a table; None: it is not there, and not needed.

        Raises:
            StoreError: It must be there and is not, there are several, or it lies outside the folder.
        """
        contents, home = self.contents, self.source.home
        file = require_table(contents, table, home) if required else find_table(contents, table)
        if file is not None:
            refuse_table_outside(file, contents.root, self.outside)
        return file

    def read(self, part: Part, file: Path) -> None:
        """Read a table and those joined to it.

        Raises:
            StoreError: A column or all pictures are missing, or rows have a problem.
        """
        table = self._table(part, file)
        if not part.required and not self.source.one_hot and not _has_values(table, part.label):
            self._leave_out(table, part, file, UNLABELLED, lambda _: True)
            self.notes.append(f"{file.name} has no labels: its pictures were left out")
            return
        columns = self._columns(part, table)
        table = self._leave_out(table, part, file, UNPUBLISHED, self._was_never_published)
        rows = list_rows(
            table, columns, self.pictures.find, self.contents.root, missing=_MISSING, validation=self.validation
        )
        self._check_pictures(part, file, table, rows)
        remedies = {**REMEDIES, ABSENT: f"unpack all of {part.pictures} in {self.contents.root}"}
        self.left_out += [*rows.left_out, *settle_problems(file, rows, self.on_error, remedies)]
        listed = [replace(image, split=image.split or part.split) for image in rows.listed]
        if "domain" in columns.names:
            listed = [replace(i, domain=UNKNOWN_DOMAIN) if i.domain == DEFAULT_DOMAIN else i for i in listed]
        self.listed += listed
        self._note(part, file, listed)

    def _table(self, part: Part, file: Path) -> TextTable:
        table = read_table(file)
        self.tables.append(file)
        from_others = {column for join in part.joins for column in join.columns}
        self._check([name for name in (*part.columns.values(), *self.source.one_hot) if name not in from_others], table)
        for join in part.joins:
            if (other := self.find(join.table, join.required)) is not None:
                added = read_table(other)
                self._check([join.image, *join.columns], added)
                table = add_columns(table, part.columns["image"], added, join.image, join.columns)
                self.tables.append(other)
        of_row = self.source.domain_of
        return table if of_row is None else add_derived(table, _DOMAIN, of_row)

    def _columns(self, part: Part, table: TextTable) -> FoundColumns:
        names = dict(part.columns) | {role: name for role, name in part.optional.items() if name in table.header}
        if self.source.domain_of is not None:
            names["domain"] = _DOMAIN
        used = {*names.values(), *self.source.one_hot}
        unread = [name for name in table.header if name and name not in used]
        return find_columns(table.header, names, self.source.one_hot, unread, table.name)

    def _check(self, names: Sequence[str], table: TextTable) -> None:
        remedy = f"{self.source.home} has the table with the columns that are expected"
        check_columns(names, table.header, table.name, remedy)

    def _was_never_published(self, image: str) -> bool:
        return image in self.source.unpublished and not self.pictures.has(image)

    def _leave_out(
        self, table: TextTable, part: Part, file: Path, reason: str, is_left_out: Callable[[str], bool]
    ) -> TextTable:
        """Take rows out of a table, by their images' words."""
        image = table.header.index(part.columns["image"])
        kept = []
        for at, (line, row) in enumerate(zip(table.lines, table.rows, strict=True)):
            if is_left_out(row[image]):
                self.pictures.has(row[image])  # it has a row, if one of no use
                self.left_out.append(LeftOut(f"{file.name}, line {line} ({row[image]})", reason))
            else:
                kept.append(at)
        return replace(table, rows=tuple(table.rows[at] for at in kept), lines=tuple(table.lines[at] for at in kept))

    def _check_pictures(self, part: Part, file: Path, table: TextTable, rows: Rows) -> None:
        if rows.listed or len(rows.problems.get(ABSENT, ())) < len(table.rows):
            return
        alone = "" if part.required else ", or move the table elsewhere to import the training set alone"
        raise StoreError(
            f"{self.contents.root} has none of the {len(table.rows):,} pictures that {file.name} names; unpack "
            f"{part.pictures} there{alone}"
        )

    def _note(self, part: Part, file: Path, listed: list[ListedImage]) -> None:
        without = sum(not image.group for image in listed)
        said = f"{file.name}: {len(listed):,} pictures, published as {part.split}"
        if without == len(listed):
            said += "; it names no lesions, so nobody can see which of them are in both splits"
        elif without:
            said += f"; {without:,} name no lesion, and each of them is a group of its own"
        self.notes.append(said)


def _without_set_aside(listing: Listing, set_aside: Mapping[str, str]) -> Listing:
    trained = {image.label for image in listing.images if image.split == "train"}
    counts = Counter(i.label for i in listing.images if i.label in set_aside and i.label not in trained)
    aside = [image for image in listing.images if image.label in counts]
    notes = (
        f"the label {label!r} ({set_aside[label]}) is in the test set alone: all {count:,} of it were left out"
        for label, count in counts.items()
    )
    return replace(
        listing,
        images=tuple(image for image in listing.images if image.label not in counts),
        left_out=(*listing.left_out, *(LeftOut(i.source, f"a picture of the label {i.label!r}") for i in aside)),
        notes=(*listing.notes, *notes),
    )


def _has_values(table: TextTable, column: str) -> bool:
    if column not in table.header:
        return False
    position = table.header.index(column)
    return any(row[position] not in _MISSING for row in table.rows)
