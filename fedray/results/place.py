"""Where a job's results go: a folder, or an address on shared storage that a folder of this machine is copied to."""

import hashlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fedray.results.files import TUNE_STATE
from fedray.storage import SharedFolder, is_uri, private_folder


@dataclass(frozen=True)
class Place:
    """A place for results.

    Attributes:
        folder: Where they are written on this machine.
        shared: Where on shared storage they are copied to; None where the folder is all there is.
    """

    folder: Path
    shared: SharedFolder | None = None
    _pushed: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, out: "str | Path | Place") -> "Place":
        """Name a place by its folder or its ``s3://`` or ``gs://`` address, and fetch what stands at the address.

        Raises:
            StorageError: The address is none, or the storage does not answer.
        """
        if isinstance(out, Place):
            return out
        if not is_uri(out):
            return cls(Path(out))
        shared = SharedFolder(str(out))
        place = cls(results_root() / "runs" / "shared" / _folder_name(shared.uri), shared)
        place._pull()
        return place

    @property
    def state(self) -> str:
        """Where Tune keeps a sweep's state: a folder's path, or an address."""
        return f"{self.shared.uri}/{TUNE_STATE}" if self.shared else str(self.folder.resolve() / TUNE_STATE)

    def num_bytes(self) -> int:
        """Add up the sizes of all files that are kept there.

        Raises:
            StorageError: The storage does not answer.
        """
        if self.shared is not None:
            return self.shared.num_bytes()
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def __str__(self) -> str:
        """Return what the user called it."""
        return self.shared.uri if self.shared else str(self.folder)

    def push(self) -> None:
        """Copy what has changed to the shared storage, if there is any.

        New files go first, JSON files last among them (they say that what they describe is whole), then what is gone
        here is deleted there.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        if self.shared is None:
            return
        stamps = {name: _stamp(self.folder / name) for name in self._names()}
        changed = [name for name, stamp in stamps.items() if self._pushed.get(name) != stamp]
        self.shared.upload(self.folder, sorted(changed, key=lambda name: (name.endswith(".json"), name)))
        self.shared.delete(name for name in self._pushed if name not in stamps)
        self._pushed.clear()
        self._pushed.update(stamps)

    def _pull(self) -> None:
        """Make the folder what stands at the address: another machine may have gone on from there."""
        assert self.shared is not None
        shutil.rmtree(self.folder, ignore_errors=True)
        private_folder(self.folder)
        names = [name for name in self.shared.names() if not name.startswith(f"{TUNE_STATE}/")]
        self.shared.download(names, self.folder)
        self._pushed.update({name: _stamp(self.folder / name) for name in names})

    def _names(self) -> list[str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return [path.relative_to(self.folder).as_posix() for path in files]


@contextmanager
def resumable(out: Place) -> Iterator[None]:
    """Tell whoever stops a job how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if out.folder.is_dir():
            print(
                f"The same job with --resume {shlex.quote(str(out))} as its only option goes on from here.",
                file=sys.stderr,
            )
        raise


def results_root() -> Path:
    """Return the folder of this machine for results and the local MLflow database: ``$FEDRAY_RESULTS``, else this one.

    A Ray job works in a copy of the submitted folder that Ray removes with the cluster; there, and where
    ``FEDRAY_RESULTS`` is an address on shared storage, it is ``~/fedray``.
    """
    told, here = os.environ.get("FEDRAY_RESULTS", ""), Path.cwd()
    if told and not is_uri(told):
        return Path(told).expanduser()
    return Path.home() / "fedray" if told or "runtime_resources" in here.parts else here


def new_place(name: str) -> str:
    """Name a place for results, below ``runs/`` of ``$FEDRAY_RESULTS`` or of this folder."""
    told, folder = os.environ.get("FEDRAY_RESULTS", ""), f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    if is_uri(told):
        return f"{told.rstrip('/')}/runs/{folder}"
    path = results_root() / "runs" / folder
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _folder_name(uri: str) -> str:
    """Name the copy of an address so that a person knows it, and no other address has the same: copies are replaced."""
    readable = re.sub(r"[^\w.-]+", "-", uri)[:100]
    return f"{readable}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
