"""From a table's word for a picture to the file: with the suffix that the table leaves out, and in sub-folders."""

import filecmp
import os
import unicodedata
from collections import defaultdict
from pathlib import Path

from fedray.data.importing.contents import Contents


class AbsentFile(LookupError):
    """No file has the name; the message is a hint, or empty."""


class AmbiguousFile(LookupError):
    """Several files that differ have the name; the message names two."""


class NamedFiles:
    """The images of a folder, by name.

    Attributes:
        named: Normalised paths of all files that were found.
        copies: Relative paths of files that hold the same bytes as one that was found.
    """

    def __init__(self, contents: Contents, suffix: str = "") -> None:
        """Take the folder's contents and what is added to every name that does not end so."""
        self.named: set[str] = set()
        self.copies: set[str] = set()
        self._root = contents.root
        self._suffix = suffix
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._alike: dict[str, str] = {}
        for image in contents.images:
            self._by_name[_normal(image.name)].append(str(image))
            for spelt in (image.name, image.stem):
                self._alike.setdefault(_normal(spelt).casefold(), str(image))

    def find(self, word: str) -> Path:
        """Find the picture of a word: a path from the folder, or a file's name anywhere in the folder.

        Raises:
            AbsentFile: No file has that name.
            AmbiguousFile: Several have, and they differ.
        """
        name = word if word.lower().endswith(self._suffix.lower()) else word + self._suffix
        for path in dict.fromkeys((name, name.replace("\\", "/"))):
            if os.path.isfile(self._root / path):
                return self._named(path)
        places = [] if "/" in name or "\\" in name else self._by_name.get(_normal(name), [])
        if not places:
            raise AbsentFile(self._hint(word))
        first, *others = places
        for other in others:
            if not filecmp.cmp(self._root / first, self._root / other, shallow=False):
                self.named.update(os.path.normpath(self._root / place) for place in places)
                raise AmbiguousFile(f"{first} and {other}")
        self.copies.update(others)
        return self._named(first)

    def _named(self, path: str) -> Path:
        self.named.add(os.path.normpath(self._root / path))
        return self._root / path

    def _hint(self, name: str) -> str:
        """Say where a picture of this name lies, if one does."""
        base = _normal(name.replace("\\", "/").rsplit("/", 1)[-1])
        found = self._alike.get(base.casefold())
        if found is None:
            return ""
        file = found.rsplit("/", 1)[-1]
        if "/" not in name and "\\" not in name and _normal(file) != base and _normal(file).startswith(base):
            return f"there is {found}: give --suffix {file[len(base) :]}"
        return f"there is {found}"


def _normal(name: str) -> str:
    """Return the name with accents in one encoding: macOS writes another one than most tables."""
    return unicodedata.normalize("NFC", name)
