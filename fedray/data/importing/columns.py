"""The columns of a table that the import knows: the one list of them."""

from typing import NamedTuple


class Column(NamedTuple):
    """A column that the import reads."""

    meaning: str
    required: bool = False


COLUMNS = {
    "image": Column("the picture's file", required=True),
    "label": Column("what it shows", required=True),
    "domain": Column("scanner or site"),
    "group": Column("patient or slide"),
    "split": Column("train or test"),
}
"""Name and meaning. Each name beside 'image' is a field of :class:`~fedray.data.importing.images.ListedImage` too."""

REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
OPTIONAL = tuple(name for name, column in COLUMNS.items() if not column.required)
