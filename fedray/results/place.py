"""Where a job's results go: a folder, or an address on shared storage that a folder of this machine is copied to."""

import hashlib
import itertools
import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fedray.config import ConfigError
from fedray.results.files import TUNE_STATE
from fedray.storage import (
    AddressLock,
    FolderLock,
    JobLock,
    SharedFolder,
    is_foreign,
    is_uri,
    own_mark,
    private_folder,
    remove_dead,
)
from fedray.storage.lock import LOCK
from fedray.storage.owners import PARTIAL

_copies = itertools.count()


@dataclass(frozen=True)
class Place:
    """A place for results.

    Attributes:
        folder: Where they are written on this machine.
        shared: Where on shared storage they are copied to; None where the folder is all there is.
        lock: Keeps other jobs out; None where the place is in one whose job holds it, as the steps of a study are.
    """

    folder: Path
    shared: SharedFolder | None = None
    lock: JobLock | None = None
    _pushed: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    _pulled: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, out: "str | Path | Place") -> "Place":
        """Name a place by its folder or its ``s3://`` or ``gs://`` address, and fetch what stands at the address.

        Nothing is written there: who looks harms nobody. What stands at an address is copied into a folder of this
        process alone, which the next process removes once this one has ended.

        Raises:
            StorageError: The address is none, or the storage does not answer.
        """
        if isinstance(out, Place):
            return out
        if not is_uri(out):
            return cls(Path(out), lock=FolderLock(Path(out)))
        shared, copies = SharedFolder(str(out)), results_root() / "runs" / "shared"
        remove_dead(copies)
        copy = copies / f"{_folder_name(shared.uri)}-{own_mark()}-{next(_copies)}"
        place = cls(copy, shared, AddressLock(shared))
        place._pull()
        return place

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Keep other jobs out while the block runs; a place without a lock is in one that its job holds already.

        Yields:
            Whether a job died there: what lies there may be half of something.

        Raises:
            InUseError: Another job is there.
            ConfigError: The folder takes no file.
            StorageError: The storage does not answer.
        """
        is_left = False
        with ExitStack() as stack:
            if self.lock is not None:
                try:
                    is_left = stack.enter_context(self.lock.held())
                except OSError as error:
                    raise ConfigError(
                        f"--out {self} cannot be written ({error.strerror}); choose another --out"
                    ) from None
                if self.shared is not None:
                    self._pull()  # a job may have gone on there since
            yield is_left

    def is_locked(self) -> bool:
        """Say whether a job is there, or has died there.

        Raises:
            StorageError: The storage does not answer.
        """
        return (self.folder / LOCK).exists() if self.shared is None else self.shared.read(LOCK) is not None

    @property
    def state(self) -> str:
        """Where Tune keeps a sweep's state: a folder's path, or an address."""
        return f"{self.address}/{TUNE_STATE}"

    @property
    def address(self) -> str:
        """Where all machines find it: the address on shared storage, or the folder's absolute path."""
        return self.shared.uri if self.shared else str(self.folder.resolve())

    def num_bytes(self) -> int:
        """Add up the sizes of all files that are kept there.

        Raises:
            StorageError: The storage does not answer.
        """
        if self.shared is not None:
            return self.shared.num_bytes()
        return sum(size for size, _ in self._stamps().values())

    def __str__(self) -> str:
        """Return what the user called it."""
        return self.shared.uri if self.shared else str(self.folder)

    def push(self) -> None:
        """Copy what has changed to the shared storage, if there is any.

        New files go first, JSON files last among them (they say that what they describe is whole), then what is gone
        here is deleted there.

        Raises:
            InUseError: Another job has taken the place over.
            StorageError: The storage does not answer, or refuses.
        """
        if self.lock is not None:
            self.lock.check()
        if self.shared is None:
            return
        stamps = self._stamps()
        changed = [name for name, stamp in stamps.items() if self._pushed.get(name) != stamp]
        self.shared.upload(self.folder, sorted(changed, key=lambda name: (name.endswith(".json"), name)))
        self.shared.delete(name for name in self._pushed if name not in stamps)
        self._pushed.clear()
        self._pushed.update(stamps)

    def _pull(self) -> None:
        """Make the folder what stands at the address: another machine may have gone on from there."""
        assert self.shared is not None
        private_folder(self.folder)
        there = {name: stamp for name, stamp in self.shared.stamps().items() if _is_result(name)}
        self.shared.download([name for name, stamp in there.items() if self._pulled.get(name) != stamp], self.folder)
        for name in self._pulled.keys() - there.keys():
            (self.folder / name).unlink(missing_ok=True)
        self._pulled.clear()
        self._pulled.update(there)
        self._pushed.clear()
        self._pushed.update(self._stamps())

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Say size and time of all files in the folder that are ours, by their paths in it."""
        stamps = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            with suppress(FileNotFoundError):  # the system's own files come and go
                if not _is_passing(name) and path.is_file():
                    stamps[name] = _stamp(path)
        return stamps


def _is_result(name: str) -> bool:
    """Say whether a file at an address belongs into the copy: Tune reads its own from there."""
    return not name.startswith(f"{TUNE_STATE}/") and not _is_passing(name)


def _is_passing(name: str) -> bool:
    """Say whether a file, by its path in the folder, is a lock, half written, or the system's."""
    return name == LOCK or any(part.endswith(PARTIAL) or is_foreign(part) for part in name.split("/"))


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
    told = os.environ.get("FEDRAY_RESULTS", "")
    folder = f"{name}-{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"  # two jobs may start in one second
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
