"""The columns of a table that the import knows, and which column of a user's table is which."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from fedray.data.importing.option_texts import typed
from fedray.data.store import StoreError


class Column(NamedTuple):
    """A column that the import reads."""

    meaning: str
    other_names: str
    """What published tables call it, for messages: a column is never taken by one of these names unasked."""
    required: bool = False


COLUMNS = {
    "image": Column(
        "the picture's file",
        "file filename file_name filepath path image_id image_name image_path img img_name isic_id name picture tile",
        required=True,
    ),
    "label": Column(
        "what it shows", "class class_name category diagnosis dx target labels y annotation finding", required=True
    ),
    "domain": Column("scanner or site", "scanner site center centre hospital institution dataset source origin device"),
    "group": Column(
        "patient or slide",
        "patient patient_id patientid pid subject subject_id case case_id lesion lesion_id slide slide_id wsi specimen "
        "individual participant animal mouse donor",
    ),
    "client": Column("who has it in the federation", "client_id client_name node federated_client party"),
    "split": Column("train or test", "set subset fold partition phase usage"),
}
"""Name and meaning: the one list. Each beside 'image' is a field of ``ListedImage`` too, filled by its name."""


_NUMBER_OF_PATIENT = re.compile(
    r"(mrn|accession.*|pat(ient(en)?)?|subj(ect)?|case|fall|lesion|slide|specimen|biopsy|donor|animal|person)"
    r"_?(nr|no|num|number|nummer|id|uid|code|key|name|hash|pseudonym|index)?"
)
"""Names of columns that tell patients or slides apart."""


@dataclass(frozen=True)
class FoundColumns:
    """Which columns of a table are read."""

    names: dict[str, str]
    """Name in the table of each known column that it has."""
    one_hot: tuple[str, ...]
    """The labels' columns of zeros and ones; empty where one column names the label."""
    unused: tuple[str, ...]


def find_columns(
    header: Sequence[str], given: dict[str, str], one_hot: Sequence[str], ignored: Sequence[str], table: str
) -> FoundColumns:
    """Find the known columns in a header.

    Args:
        header: The table's column names, without surrounding blanks.
        given: Name in the table of known columns, as the user gave them; a known column that is not given is found by
            its own name. With any given, the others may be there unused, unless one looks like a known column.
        one_hot: Columns of zeros and ones, one a label.
        ignored: Columns that are not used, as the user said.
        table: The table, for messages.

    Raises:
        StoreError: A column is missing, repeated or unknown.
    """
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise StoreError(f"{table} has the column {repeated[0]!r} more than once; rename or remove one of them")
    if unknown := [role for role in given if role not in COLUMNS]:
        raise StoreError(
            f"--columns must be NAME=COLUMN with a NAME of {', '.join(COLUMNS)}, but got {unknown[0]!r}"
            f"{_nearest(unknown[0], [*COLUMNS])}"
        )
    check_columns((*given.values(), *one_hot, *ignored), header, table)
    own = {role: role for role in COLUMNS if role in header and role not in ignored}
    names = own | given
    if one_hot and "label" in names:
        raise StoreError(
            f"{table} has the label in the column {names['label']!r} and in those of --one-hot; leave one out: "
            f"--one-hot, or {typed('--ignore', [names['label']])}"
        )
    unused = [name for name in header if name and name not in (*names.values(), *one_hot, *ignored)]
    missing = [
        role for role in COLUMNS if COLUMNS[role].required and role not in names and not (role == "label" and one_hot)
    ]
    if missing:
        likely = [f"{role}={_candidate(role, unused)}" for role in missing]
        raise StoreError(
            f"{table} must have the columns {_roles(required=True)} (and may have {_roles(required=False)}), but has "
            f"no {' and no '.join(missing)}; say which of its columns that is: "
            f"{typed('--columns', likely)}; it has {_quoted(header)}"
        )
    _question_unused(unused, names, bool(given or one_hot), table)
    return FoundColumns(names, tuple(one_hot), tuple(unused))


def check_columns(names: Iterable[str], header: Sequence[str], table: str, remedy: str = "") -> None:
    """Check that a table has columns; a remedy stands at the message's end.

    Raises:
        StoreError: One is missing; the message names it and what the table has.
    """
    for name in names:
        if name not in header:
            raise StoreError(
                f"{table} has no column {name!r}{_nearest(name, header)}; it has {_quoted(header)}"
                f"{f'; {remedy}' if remedy else ''}"
            )


def _question_unused(unused: Sequence[str], names: dict[str, str], chosen: bool, table: str) -> None:
    """Refuse columns that nothing says what they are: an unread patient would be split over train and test."""
    # A patient beside a lesion is the coarser group: the question is open even where a group is given.
    open_roles = [role for role in COLUMNS if role not in names or role == "group"]
    likely = {name: role for name in unused if (role := _looks_like(name, open_roles)) is not None}
    asked = [name for name in unused if name in likely or not chosen]
    if not asked:
        return
    meant = [f"{role}={name}" for name, role in likely.items()]
    roles = dict.fromkeys(likely.values())
    way = (
        f"such as {typed('--columns', meant)} ({'; '.join(f'{role}: {COLUMNS[role].meaning}' for role in roles)})"
        if likely
        else f"--columns NAME=COLUMN, with a NAME of {', '.join(COLUMNS)}"
    )
    raise StoreError(
        f"{table} has columns that are not read, {_quoted(asked)}; say what each is, {way}, or that it is not needed: "
        f"{typed('--ignore', asked)}"
    )


def _looks_like(name: str, roles: Sequence[str]) -> str | None:
    plain = "_".join(name.casefold().replace("-", " ").replace("_", " ").split())
    spelt = {known: role for role in roles for known in (role, *COLUMNS[role].other_names.split())}
    close = get_close_matches(plain, spelt, n=1, cutoff=0.85)
    if close:
        return spelt[close[0]]
    return "group" if "group" in roles and _NUMBER_OF_PATIENT.fullmatch(plain) else None


def _candidate(role: str, unused: Sequence[str]) -> str:
    return next((name for name in unused if _looks_like(name, [role])), "COLUMN")


def _roles(required: bool) -> str:
    return ", ".join(name for name, column in COLUMNS.items() if column.required == required)


def _nearest(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "no columns"
