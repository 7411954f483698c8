"""Folders of this machine: who may enter them, and whether they can be written."""

import tempfile
from pathlib import Path

_PROBE_BYTES = 4096  # a full disk takes none


def private_folder(folder: Path) -> None:
    """Make a folder that only this user can enter; one that is there keeps the rights that somebody gave it.

    Args:
        folder: For what others on this machine must not read: weights, states of clients, tiles. What is in it, and the
            folders above it, have the usual rights.

    Raises:
        OSError: It cannot be made, or is a file.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def why_not_writable(folder: Path) -> str | None:
    """Say why nothing can be written into a folder (rights, a read-only or a full disk), None where it can be."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.strerror or str(error)
    return None


def why_not_made(folder: Path) -> str | None:
    """Say why a folder cannot be made, or written into where it is there; None where it can be."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        return f"{there} is no folder"
    problem = why_not_writable(there)
    return f"{there} takes no file ({problem})" if problem else None
