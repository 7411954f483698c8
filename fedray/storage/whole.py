"""Files and folders that whoever reads finds whole, or as they were before; the one way in which anything is kept."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from fedray.storage.owners import PARTIAL, is_foreign, own_mark, remove_all


def write_whole(path: Path, content: bytes, *, through: Path | None = None) -> None:
    """Write a file so that whoever reads it finds all of it, or what was there before.

    Args:
        path: The file. Its folder is there.
        content: What it is to hold.
        through: Folder of the partial file, on the same disk; None: the file's own.

    Raises:
        OSError: It cannot be written; the file is as it was. It names the file.
    """
    with whole_file(path, through=through) as partial:
        partial.write_bytes(content)


@contextmanager
def whole_file(path: Path, *, through: Path | None = None) -> Iterator[Path]:
    """Give a path to write a file to, which takes its place when the block ends well; arguments as of write_whole."""
    partial = (through or path.parent) / f"{path.name}.{own_mark()}{PARTIAL}"
    with _named(partial, path):
        try:
            yield partial
            os.replace(partial, path)
        except BaseException:
            remove_all(partial)
            raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of ``path`` when the block ends well.

    A folder that is there already is replaced. Between its leaving and the other's coming a process can die: then
    :func:`folder_replaced` finds it.

    Raises:
        OSError: It cannot be written; what was there stays. It names the folder.
    """
    partial = path.with_name(f"{path.name}.{own_mark()}{PARTIAL}")
    remove_all(partial)
    with _named(partial, path):
        try:
            partial.mkdir(parents=True)
            yield partial
            put_in_place(partial, path)
        except BaseException:
            remove_all(partial)
            raise


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a finished folder to its name; one that has the name already goes aside, and then away."""
    aside = folder_replaced(path)
    if path.exists():
        remove_all(aside)
        path.rename(aside)
    partial.rename(path)
    if aside.exists():
        for entry in aside.iterdir():
            if is_foreign(entry.name) and not (path / entry.name).exists():  # the system's, or a person's
                entry.rename(path / entry.name)
        remove_all(aside)


def folder_replaced(path: Path) -> Path:
    """Name where a folder is while another takes its place."""
    return path.with_name(f".{path.name}.replaced")


def put_back(path: Path) -> None:
    """Undo a replacement that a process died in: with nothing in its place, the folder that went aside comes back."""
    if not path.exists() and (aside := folder_replaced(path)).exists():
        aside.rename(path)


def picture_bytes(picture: Any, **options: Any) -> bytes:
    """Return a matplotlib figure, or a picture of Pillow's, as PNG, for :func:`write_whole`.

    Args:
        picture: Has ``savefig`` or ``save``.
        options: Of that.
    """
    buffer = BytesIO()
    save = picture.savefig if hasattr(picture, "savefig") else picture.save
    save(buffer, format="png", **options)
    return buffer.getvalue()


@contextmanager
def _named(partial: Path, path: Path) -> Iterator[None]:
    """Have an error of the disk say the file that was to be, not the partial one, or none at all."""
    try:
        yield
    except OSError as error:
        told = str(error.filename or partial)
        if error.errno is None or not told.startswith(str(partial)):
            raise
        name = f"{path}{told.removeprefix(str(partial))}"
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), name) from error
