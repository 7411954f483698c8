"""One job a folder: a lock that says who has it, since when, and whether that process still lives."""

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fedray.errors import UserError
from fedray.storage.folders import private_folder
from fedray.storage.owners import PARTIAL, is_dead, own_mark, remove_leftovers
from fedray.storage.shared import SharedFolder

LOCK = "job.lock"
"""Name of the lock in a folder; it goes with its job."""

BEAT_S, SILENCE_S = 20.0, 120.0
"""How often a job says that it lives, and how long none must have been heard of that runs on another machine until its
folder is free, in seconds."""

_LONGEST_BYTES = 4096


Beat = Callable[[], "Holder | None"]
"""Gives a sign of life, and says who has taken over, if anybody has."""


class InUseError(UserError, RuntimeError):
    """Another job is in the folder. The message says which, and what to do."""


@dataclass(frozen=True)
class Holder:
    """Who has a lock."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(" ", "seconds"))
    """In UTC: when it took the lock."""
    mark: str = field(default_factory=own_mark)
    """Of the process, in the names of what it is writing."""
    boot: str = field(default_factory=lambda: _boot())
    """Of the running kernel."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __str__(self) -> str:
        """Say it to people."""
        return f"process {self.pid} on {self.host}, since {self.started}"

    def to_bytes(self) -> bytes:
        """Return what :func:`_read_holder` reads."""
        return json.dumps(asdict(self), indent=1).encode()


class JobLock(Protocol):
    """Keeps other jobs out of a folder."""

    def held(self) -> contextlib.AbstractContextManager[bool]:
        """Hold it in a block; says whether a job that died had it before.

        Raises:
            InUseError: Another job has it.
        """
        ...

    def check(self) -> None:
        """Refuse to go on where another job has taken over meanwhile.

        Raises:
            InUseError: This one's machine must have slept, or been cut off, for minutes.
        """
        ...


class FolderLock:
    """The lock of a folder of this machine, or of one that machines share.

    The system's own lock on the file decides, which goes with its process. Where a file system has none, or keeps it to
    one machine (NFS without its lock daemon, Lustre without ``flock``), what is written in the file does: a process of
    this machine is looked for, and another machine's counts as alive until it has been silent for ``SILENCE_S``. Of two
    jobs that begin there in the same moment both may take it; the one that wrote first notices with its next beat.
    """

    def __init__(self, folder: Path, shown: Path | None = None, make: Callable[[Path], None] = private_folder) -> None:
        """Name the folder; nothing is looked at yet.

        Args:
            folder: The folder.
            shown: What messages call it; unset: by its own name.
            make: Makes it where it is missing.
        """
        self._folder, self._file, self._make = folder, folder / LOCK, make
        self._shown = str(shown or folder)
        self._beating = _Beating()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold it in a block: the folder is made where it is missing, and what a dead job was writing goes.

        Raises:
            InUseError: Another job has it.
            OSError: The folder takes no file.
        """
        missing = [each for each in (self._folder, *self._folder.parents) if not each.exists()]
        try:
            descriptor, holder, dead = self._take()
            try:
                remove_leftovers(self._folder, {dead.mark} if dead else ())
                with self._beating.of(lambda: self._beat(descriptor, holder)):
                    yield dead is not None
            finally:
                now = _read_holder(os.pread(descriptor, _LONGEST_BYTES, 0))
                if self._is_there(descriptor) and now == holder:  # nobody has taken over
                    self._file.unlink()
                os.close(descriptor)
        finally:
            with suppress(OSError):  # a job that was refused leaves nothing
                for folder in missing:
                    folder.rmdir()

    def check(self) -> None:
        """See :class:`JobLock`."""
        self._beating.check(self._shown)

    def _take(self) -> tuple[int, Holder, Holder | None]:
        """Open and lock the file. Returns it, who has it now, and a dead job that had it before."""
        while True:
            self._make(self._folder)  # it may just have been renamed with the file in it
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if (found := self._claim(descriptor)) is not None:
                    return descriptor, *found
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _claim(self, descriptor: int) -> tuple[Holder, Holder | None] | None:
        """Lock an open file and write into it; None where its job has just ended and taken it along."""
        free = _system_lock(descriptor)
        found = _read_holder(os.pread(descriptor, _LONGEST_BYTES, 0))
        known = found is None or (free is not None and found.boot == _boot())  # the system's lock says all
        silence_s = 0.0 if known else self._silence_s(descriptor)
        if free is False or (found is not None and not _has_ended(found, silence_s, free)):
            raise _in_use(self._shown, found, silence_s)
        if not self._is_there(descriptor):
            return None
        holder = Holder()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.to_bytes(), 0)
        if found is not None:
            _say_taken_over(self._shown, found)
        return holder, found

    def _is_there(self, descriptor: int) -> bool:
        with suppress(OSError):
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        return False

    def _silence_s(self, descriptor: int) -> float:
        """Say how long ago the file was touched, by the clock of its file system."""
        now = self._file.with_name(f"{LOCK}.{own_mark()}{PARTIAL}")
        now.touch(mode=0o600)
        try:
            return now.stat().st_mtime - os.fstat(descriptor).st_mtime
        finally:
            now.unlink()

    def _beat(self, descriptor: int, holder: Holder) -> Holder | None:
        """Touch the file; returns who has taken over, if anybody has."""
        os.utime(descriptor)
        now = _read_holder(self._file.read_bytes())
        return None if now is None or now.token == holder.token else now


class AddressLock:
    """The lock of an address on shared storage: an object that says who has it, written again every ``BEAT_S``.

    Object storage has no lock, and not every one has conditional writes: of two jobs that begin in the same moment both
    may take it. The one that wrote first notices before it overwrites anything (:meth:`check`).
    """

    def __init__(self, shared: SharedFolder) -> None:
        """Name the address; nothing is looked at yet."""
        self._shared = shared
        self._beating = _Beating()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold it in a block.

        Raises:
            InUseError: Another job has it.
            StorageError: The storage does not answer.
        """
        found, silence_s = self._holder(), 0.0
        if found is not None:
            silence_s = self._silence_s()
            if not _has_ended(found, silence_s, free=None):
                raise _in_use(self._shared.uri, found, silence_s)
            _say_taken_over(self._shared.uri, found)
        holder = Holder()
        self._shared.write(LOCK, holder.to_bytes())
        if (other := self._other(holder)) is not None:
            raise _in_use(self._shared.uri, other, 0.0)
        try:
            with self._beating.of(lambda: self._beat(holder)):
                yield found is not None
        finally:
            with suppress(UserError):  # silent: it will count as dead
                if self._other(holder) is None:
                    self._shared.delete([LOCK])

    def check(self) -> None:
        """See :class:`JobLock`."""
        self._beating.check(self._shared.uri)
        self._beating.now()
        self._beating.check(self._shared.uri)

    def _holder(self) -> Holder | None:
        return _read_holder(self._shared.read(LOCK) or b"")

    def _other(self, holder: Holder) -> Holder | None:
        found = self._holder()
        return None if found is None or found.token == holder.token else found

    def _silence_s(self) -> float:
        """Say how long ago it was written, by the clock of the storage."""
        now = f"{LOCK}.{own_mark()}{PARTIAL}"
        self._shared.write(now, b"")
        try:
            return self._shared.written_s(now) - self._shared.written_s(LOCK)
        finally:
            self._shared.delete([now])

    def _beat(self, holder: Holder) -> Holder | None:
        if (other := self._other(holder)) is None:
            self._shared.write(LOCK, holder.to_bytes())
        return other


class _Beating:
    """Says now and then that a job lives, in a thread of its own; remembers who took its place."""

    def __init__(self) -> None:
        self._beat: Beat = lambda: None
        self._other: Holder | None = None

    @contextmanager
    def of(self, beat: Beat) -> Iterator[None]:
        """Beat while the block runs."""
        self._beat, self._other = beat, None
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(ended,), daemon=True, name="job-lock")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def now(self) -> None:
        """Beat once; storage that does not answer will be asked again."""
        with suppress(OSError, UserError):
            self._other = self._beat() or self._other

    def check(self, place: object) -> None:
        """Refuse to go on where another job has taken over."""
        if self._other is not None:
            raise InUseError(
                f"{place} was taken over by {self._other}, as this job gave no sign of life for {SILENCE_S:.0f} s; it "
                "ends here, and writes nothing more there"
            )

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_S):
            self.now()


def _system_lock(descriptor: int) -> bool | None:
    """Take the system's lock on a file. Returns whether it was free; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOTSUP, ENOSYS: each file system has its own
        return None
    return True


def _has_ended(holder: Holder, silence_s: float, free: bool | None) -> bool:
    """Say whether who has a lock has ended, as far as can be known from here.

    Args:
        holder: Who has it.
        silence_s: Since its last sign of life.
        free: Whether the system's lock was free; None where there is none.
    """
    if free and holder.boot == _boot():
        return True
    return is_dead(holder.mark) or silence_s > SILENCE_S


def _read_holder(content: bytes) -> Holder | None:
    """Read who has a lock; None where nobody, or a job that died before it had said who it is."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _in_use(place: str, holder: Holder | None, silence_s: float) -> InUseError:
    who = f"by {holder}" if holder is not None else "by a job that is just starting"
    elsewhere = holder is not None and holder.boot != _boot()
    rest = (
        f"; its last sign of life was {max(0.0, silence_s):.0f} s ago: should that machine be gone, try again once "
        f"that is {SILENCE_S:.0f} s"
        if elsewhere
        else ""
    )
    return InUseError(f"{place} is in use {who}; wait for its end, or stop it there, or choose another --out{rest}")


def _say_taken_over(place: str, dead: Holder) -> None:
    print(f"note: {place} was left by a job that died ({dead}); this one takes it over", file=sys.stderr)


def _boot() -> str:
    """Return an identifier of the running kernel, which all its containers share; this machine's name elsewhere."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()
