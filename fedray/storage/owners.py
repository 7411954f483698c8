"""Whose a temporary file or folder is: its name says the process, so that what a dead one left can go."""

import functools
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial"
"""End of the names of files and folders that are being written."""

_SCRATCH = "fedray-"
_SYSTEMS = ("Thumbs.db", "ehthumbs.db", "desktop.ini")  # Windows; macOS and NFS begin theirs with a dot
_MARK = re.compile(r"[.-]([0-9a-f]{8}-\d+)(?=[.-])")


@functools.cache
def _here() -> str:
    """Return eight digits for where process numbers mean what they mean here: this machine, this container."""
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def own_mark() -> str:
    """Name this process, in twenty letters at the most."""
    return f"{_here()}-{os.getpid()}"


def is_dead(mark: str) -> bool:
    """Say whether a process has ended. Of one elsewhere nobody here can know that: it counts as alive."""
    here, _, number = mark.rpartition("-")
    return here == _here() and not is_running(int(number))


def is_running(pid: int) -> bool:
    """Say whether this machine has a process of that number now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def is_foreign(name: str) -> bool:
    """Say whether a file of a folder of ours is the system's: ``.DS_Store``, ``._x``, ``.nfs...``, ``Thumbs.db``."""
    return name.startswith(".") or name in _SYSTEMS


def mark_of(name: str) -> str | None:
    """Return whose a file or folder is by its name; None where that says nobody."""
    found: list[str] = _MARK.findall(name)
    return found[-1] if found else None


def remove_leftovers(folder: Path, dead: Container[str] = ()) -> None:
    """Remove files and folders that dead processes were still writing below a folder; all else stays.

    Args:
        folder: It need not be there.
        dead: Processes elsewhere that are known to have ended.
    """
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            mark = mark_of(name) if name.endswith(PARTIAL) else None
            if mark is not None and (is_dead(mark) or mark in dead):
                remove_all(Path(place, name))


def remove_dead(folder: Path, prefix: str = "") -> None:
    """Remove what dead processes of this user left in a folder under names with :func:`own_mark`; all else stays."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            mark = mark_of(entry.name) if entry.name.startswith(prefix) else None
            if mark is not None and is_dead(mark) and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                remove_all(Path(entry.path))


def remove_all(path: Path) -> None:
    """Remove a file or a folder with all in it, as far as the system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder that only this user can enter, and remove it; what dead processes left goes first."""
    folder = new_scratch_folder()
    try:
        yield folder
    finally:
        remove_all(folder)


def new_scratch_folder() -> Path:
    """Make a temporary folder as of :func:`scratch_folder`, which the caller removes."""
    _remove_left_scratch(tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{own_mark()}-"))


@functools.cache  # once a process and folder
def _remove_left_scratch(folder: str) -> None:
    remove_dead(Path(folder), _SCRATCH)
