"""A folder of this machine, with what a folder on shared storage does."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fedray.storage.folders import private_folder
from fedray.storage.owners import PARTIAL
from fedray.storage.shared import SharedFolder, StorageError, inside, is_uri
from fedray.storage.whole import write_whole


class LocalFolder:
    """A folder of this machine; see :class:`~fedray.storage.SharedFolder`.

    Attributes:
        uri: Its path.
    """

    def __init__(self, folder: Path) -> None:
        """Name it; nothing is looked at yet."""
        self.uri = str(folder)
        self._folder = folder

    def names(self) -> list[str]:
        """List all files below the folder by their paths in it, sorted; none where there is no folder."""
        paths = (path for path in self._folder.rglob("*") if path.is_file() and not path.name.endswith(PARTIAL))
        return sorted(path.relative_to(self._folder).as_posix() for path in paths)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file.

        Raises:
            StorageError: Its name, or a link, leads out of the folder.
            OSError: It cannot be read.
        """
        path = inside(self._folder, name)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise StorageError(f"{path} is a link that leads out of {self._folder}; nothing of FedRay makes such links")
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; folders are made for this user alone.

        Raises:
            OSError: It cannot be written.
        """
        path = inside(self._folder, name)
        for folder in reversed([path.parent, *path.parent.parents]):
            if folder.is_relative_to(self._folder) and not folder.exists():
                private_folder(folder)
        write_whole(path, content)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, and folders in this one that are empty then.

        Raises:
            OSError: They cannot be deleted.
        """
        for name in names:
            path = inside(self._folder, name)
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder != self._folder and folder.is_relative_to(self._folder):
                    with suppress(OSError):  # something else is in it
                        folder.rmdir()


def folder_at(address: str) -> LocalFolder | SharedFolder:
    """Return the folder of a path or of an address on shared storage.

    Raises:
        StorageError: As of :class:`~fedray.storage.SharedFolder`.
    """
    return SharedFolder(address) if is_uri(address) else LocalFolder(Path(address))
