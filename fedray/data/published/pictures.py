"""From a published table's word for a picture to the file, though copies of the set name it in several ways."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fedray.data.importing.named_files import AbsentFile, AmbiguousFile, NamedFiles

_ENDINGS = (".jpg", ".jpeg", ".png")
"""The sets are published as JPEG; who made them smaller often saved PNG."""


class Pictures:
    """The pictures of a folder by a published table's words."""

    def __init__(self, files: NamedFiles, loose_end: str) -> None:
        """Take the folder's files, and what a name may end in or not whatever the table says."""
        self._files = files
        self._loose_end = loose_end

    def find(self, word: str) -> Path:
        """Find the picture of a word, with an ending or without.

        Raises:
            AbsentFile: There is none.
            AmbiguousFile: There are several, and they differ.
        """
        for name in self._spellings(word):
            try:
                return self._files.find(name)
            except AbsentFile:
                continue
        raise AbsentFile

    def has(self, word: str) -> bool:
        """Whether there is a picture of a word; from now on that counts as one with a row."""
        try:
            self.find(word)
        except AbsentFile:
            return False
        except AmbiguousFile:
            pass
        return True

    def _spellings(self, word: str) -> Iterator[str]:
        ending = PurePosixPath(word).suffix
        stem = word.removesuffix(ending) if ending.lower() in _ENDINGS else word
        endings = (ending, *_ENDINGS) if stem != word else _ENDINGS
        end = self._loose_end
        for name in dict.fromkeys((stem, stem.removesuffix(end) if stem.endswith(end) else stem + end)):
            yield from (name + each for each in dict.fromkeys(endings))
