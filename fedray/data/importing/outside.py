"""Files outside the folder that was named: a row with '..' or an absolute path, or a link, may lead anywhere."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from fedray.data.importing.images import Listing
from fedray.data.store import StoreError

OutsideChoice = Literal["refuse", "allow"]
"""What becomes of files outside the folder: 'refuse' ends the import with the count, 'allow' takes them."""


def refuse_outside(listing: Listing, choice: OutsideChoice) -> None:
    """Check that all images lie in the folders that were named, where their links lead.

    Raises:
        StoreError: Some do not, and may not be taken; the message counts them and names the first.
    """
    assert listing.roots, "a listing says which folders it is of"
    if choice == "allow":
        return
    _refuse({image.path: image.source for image in listing.images}, listing.roots)


def refuse_table_outside(table: Path, root: Path, choice: OutsideChoice) -> None:
    """Check, before it is read, that a table which was found in a folder lies there, where links lead.

    Raises:
        StoreError: It does not, and may not be taken.
    """
    if choice == "refuse":
        _refuse({table: str(table.relative_to(root))}, (root,))


def _refuse(files: Mapping[Path, str], roots: Sequence[Path]) -> None:
    """Refuse files, by what they are called, that do not lie in some folders."""
    if outside := list(paths_outside(files, roots)):
        first = outside[0]
        raise StoreError(
            f"{len(outside):,} of {len(files):,} files lie outside {' and '.join(map(str, roots))}, first "
            f"{files[first]} ({os.path.realpath(first)}): rows with '..' or an absolute path, or links, lead there; "
            "if they are meant, --outside allow takes them"
        )


def paths_outside(paths: Iterable[Path], roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths that lie, where their links lead, in none of some folders."""
    real_roots = tuple(Path(os.path.realpath(root)) for root in roots)

    @cache
    def real_folder(folder: str) -> str:
        return os.path.realpath(folder)

    for path in paths:
        folder, name = os.path.split(path)
        # A folder of many pictures is looked at once.
        real = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), name)
        if not any(Path(real).is_relative_to(root) for root in real_roots):
            yield path
