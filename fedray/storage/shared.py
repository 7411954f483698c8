"""Folders on shared storage, named by a URI (``s3://bucket/path``, ``gs://bucket/path``)."""

import errno
import posixpath
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from fedray.errors import UserError

_COPY_BYTES = 8 * 2**20
_RETRY_S = 60  # of Google Cloud Storage; pyarrow's own 15 minutes pass in silence where there are no credentials
_PUBLIC = "anonymous"  # in the place of a user's name: a bucket that everybody may read
_OF_THIS_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_ACCESS = (
    "Check the address, and the access: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the machine's role for s3://, "
    "GOOGLE_APPLICATION_CREDENTIALS or its service account for gs://; AWS_ENDPOINT_URL for a store of your own"
)


class StorageError(UserError, ValueError):
    """Shared storage cannot be used. The message names the address, what went wrong and the remedy."""


def is_uri(place: str | Path) -> bool:
    """Say whether a place is an address on shared storage, and no local path."""
    return "://" in str(place)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder, whose name came from an archive, a bucket or a table.

    Raises:
        StorageError: The name is no path below the folder, but absolute or with '..' in it.
    """
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts:
        raise StorageError(
            f"a file for {folder} is called {name!r}, which leads out of it; nothing of FedRay writes such names: see "
            "who can write where it comes from"
        )
    return folder / name


class SharedFolder:
    """A folder on shared storage.

    Attributes:
        uri: Its address, without a slash at its end.
    """

    def __init__(self, uri: str) -> None:
        """Find the file system; nothing is read yet.

        Args:
            uri: ``s3://``, ``gs://`` or ``file://``. Credentials come from the environment or the machine's role;
                ``gs://anonymous@bucket/path`` asks for none.

        Raises:
            StorageError: The address is of another kind, or holds a password.
        """
        self.uri = uri.rstrip("/")
        scheme, user = urlsplit(uri).scheme, urlsplit(uri).netloc.rpartition("@")[0]
        if user and (scheme, user) != ("gs", _PUBLIC):
            shown = f"{urlsplit(uri).scheme}://***@{urlsplit(uri).netloc.rpartition('@')[2]}{urlsplit(uri).path}"
            raise StorageError(f"{shown} holds credentials, which would end up in logs and results. {_ACCESS}")
        try:
            asked = f"{self.uri}?retry_limit_seconds={_RETRY_S}" if scheme == "gs" else self.uri
            self._files, self._root = fs.FileSystem.from_uri(asked)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StorageError(f"{self.uri} is no address of shared storage ({_brief(error)}). {_ACCESS}") from None

    def __repr__(self) -> str:
        """Say the address."""
        return f"SharedFolder({self.uri!r})"

    def names(self) -> list[str]:
        """List all files below the folder by their paths in it, sorted; none where there is no folder.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        return sorted(self.stamps())

    def num_bytes(self) -> int:
        """Add up the sizes of all files below the folder.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        return sum(size for size, _ in self.stamps().values())

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """

        def read() -> bytes | None:
            try:
                with self._files.open_input_stream(self._path(name)) as stream:
                    content: bytes = stream.read()
                    return content
            except FileNotFoundError:
                return None

        content: bytes | None = self._ask(read, "read")
        return content

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Say of all files below the folder, by their paths in it, how large they are and when they were written.

        Returns:
            Bytes and nanoseconds, which say that a file was written again.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        infos = self._listed()
        return {posixpath.relpath(info.path, self._root): (info.size, info.mtime_ns or 0) for info in infos}

    def written_s(self, name: str) -> float:
        """Say when a file was written, by the storage's own clock, in seconds since 1970; 0 where there is none.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        info = self._ask(lambda: self._files.get_file_info(self._path(name)), "read")
        return (info.mtime_ns or 0) / 1e9

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, whole or not at all.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """

        def write() -> None:
            with self._files.open_output_stream(self._path(name)) as writer:
                writer.write(content)

        self._make_parent(name)
        self._ask(write, "written")

    def download(self, names: Iterable[str], folder: Path) -> None:
        """Copy files into a local folder, under the same names.

        Raises:
            StorageError: A file is not there, its name leads out of the folder, or the storage does not answer.
        """
        for name in names:
            target = inside(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._copy(self._files, self._path(name), fs.LocalFileSystem(), str(target), "read")

    def upload(self, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a local folder here, under the same names and in this order.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        for name in names:
            source = inside(folder, name)
            self._make_parent(name)
            self._copy(fs.LocalFileSystem(), str(source), self._files, self._path(name), "written")

    def delete(self, names: Iterable[str]) -> None:
        """Delete files.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        for name in names:
            self._ask(lambda name=name: self._files.delete_file(self._path(name)), "cleaned up")

    def _listed(self) -> list[Any]:
        selector = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
        infos = self._ask(lambda: self._files.get_file_info(selector), "listed")
        return [info for info in infos if info.type == fs.FileType.File]

    def _make_parent(self, name: str) -> None:
        if self._files.type_name == "local":
            Path(self._path(name)).parent.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name)

    def _copy(self, source: Any, path: str, target: Any, target_path: str, verb: str) -> None:
        def copy() -> None:
            with source.open_input_stream(path) as reader, target.open_output_stream(target_path) as writer:
                while chunk := reader.read(_COPY_BYTES):
                    writer.write(chunk)

        self._ask(copy, verb)

    def _ask(self, call: Any, verb: str) -> Any:
        try:
            return call()
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno in _OF_THIS_DISK:
                raise
            raise StorageError(f"{self.uri} cannot be {verb} ({_brief(error)}). {_ACCESS}") from None


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:299] + "…"
