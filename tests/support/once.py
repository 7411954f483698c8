"""What takes seconds to make is made by one of the suite's processes, and read by the others."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return what the first process that asks for a name has made.

    Args:
        factory: pytest's.
        name: Of a file or folder that all processes of this run share.
        make: Makes it at a path.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # a process's own folder is in that of them all
        folder = folder.parent
    with FileLock(folder / f"{name}.lock"):
        if not (folder / name).exists():
            make(folder / f"new-{name}")
            (folder / f"new-{name}").rename(folder / name)
    return folder / name
