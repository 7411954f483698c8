"""A process that dies, or a disk that is full, at any of the places where a job writes, which are found by watching.

Python tells of every file that it opens, renames or removes (``sys.addaudithook``). A job is run once and watched; at
each of these moments a copy is taken of what lies on the disk, with half of the file that was being written: what a
process that dies there leaves. What libraries write by themselves (Arrow, safetensors) is seen by what comes after.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TAKING_ROOM = ("open", "os.mkdir", "os.link", "os.symlink")


class Moment(NamedTuple):
    """A write that is about to happen."""

    event: str
    path: Path


class State(NamedTuple):
    """What a process left that died at a moment."""

    moment: Moment
    folder: Path


_watching: list[Callable[[Moment], None]] = []
_installed: list[bool] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    moment = _moment(event, arguments)
    if moment is not None:
        told = _watching.pop()  # what it does itself is no write of the job's
        try:
            told(moment)
        finally:
            _watching.append(told)


def _moment(event: str, arguments: tuple[Any, ...]) -> Moment | None:
    if event == "open":
        path, _, flags = arguments
        return (
            Moment(event, _path(path, -1)) if isinstance(path, str | bytes | os.PathLike) and flags & _WRITING else None
        )
    places = {
        "os.rename": 2,
        "os.remove": 1,
        "os.rmdir": 1,
        "os.mkdir": 2,
        "os.link": 2,
        "os.symlink": 2,
        "os.truncate": -1,
    }
    if event not in places or not isinstance(arguments[0], str | bytes | os.PathLike):
        return None
    folder = arguments[places[event]] if 0 < places[event] < len(arguments) else -1
    return Moment(event, _path(arguments[0], folder if isinstance(folder, int) else -1))


def _path(path: Any, folder: int) -> Path:
    above = Path(os.readlink(f"/proc/self/fd/{folder}")) if folder >= 0 else Path.cwd()
    return above / os.fsdecode(path)


@contextmanager
def told_of_writes(folder: Path, tell: Callable[[Moment], None]) -> Iterator[None]:
    """Tell of every write below a folder before it happens; what the teller raises is raised there."""
    if not _installed:
        sys.addaudithook(_hear)  # for good: Python takes none back
        _installed.append(True)
    _watching.append(lambda moment: tell(moment) if moment.path.is_relative_to(folder) else None)
    try:
        yield
    finally:
        _watching.pop()


def left_by_dying(job: Callable[[Path], object], folder: Path, states: Path) -> list[State]:
    """Run a job, and return what it would have left had it died at each of its writes.

    Args:
        job: Given the folder, works in it.
        folder: Where what it finds lies already, if anything.
        states: Folder for the copies.
    """
    found: list[State] = []
    seen: list[object] = []
    last: list[Path] = []

    def keep(moment: Moment) -> None:
        if (what := _tree(folder)) not in seen[-1:]:  # an attempt that changed nothing needs no copy of its own
            seen.append(what)
            state = State(moment, states / f"{len(found):04d}")
            shutil.copytree(folder, state.folder, symlinks=True)
            if last and (half := state.folder / last[-1].relative_to(folder)).is_file():
                os.truncate(half, half.stat().st_size // 2)
            found.append(state)
        if moment.event == "open":
            last.append(moment.path)

    with pytest.MonkeyPatch.context() as patch:
        number = _number_of_a_dead_process()
        patch.setattr(os, "getpid", lambda: number)
        with told_of_writes(folder, keep):
            job(folder)
    return found


def _tree(folder: Path) -> object:
    """Say all that lies in a folder, so that two moments compare."""
    paths = sorted(folder.rglob("*"))
    return [
        (path, path.is_dir() or (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino)) for path in paths
    ]


def put_back(state: State, folder: Path) -> None:
    """Put what a dead process left where it was."""
    shutil.rmtree(folder)
    shutil.copytree(state.folder, folder, symlinks=True)


@contextmanager
def full_disk(folder: Path, after: int) -> Iterator[None]:
    """Let a disk have room for some writes and for no more."""
    seen = 0

    def refuse(moment: Moment) -> None:
        nonlocal seen
        seen += 1
        if seen > after and moment.event in _TAKING_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(moment.path))

    with told_of_writes(folder, refuse):
        yield


def _number_of_a_dead_process() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid
