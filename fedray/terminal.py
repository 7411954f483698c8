"""What is said to people at a terminal: words as they are, and commands that can be typed there."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console


def plain_console(*, soft_wrap: bool = False) -> Console:
    """Return a console that prints users' words as they are: ``[red]`` and ``:skull:`` are names, numbers stay plain.

    That goes for the cells and titles of its tables too. What shall have a style comes as :class:`rich.text.Text`.
    """
    return Console(soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)


def this_python() -> str:
    """Return the command of the running interpreter, relative where it lies below the working folder."""
    interpreter, here = Path(sys.executable), Path.cwd()
    return str(interpreter.relative_to(here) if interpreter.is_relative_to(here) else interpreter)


def without_folders(said: Any) -> Any:
    """Take the folders of this machine out of what others read: they name users, projects and servers.

    Args:
        said: A word of a command line (``--data=/home/anna/stores/colon`` too), or lists and dictionaries of such.

    Returns:
        The same, where an absolute path below the working folder is relative, and another one ``.../NAME``.
    """
    if isinstance(said, Mapping):
        return {name: without_folders(value) for name, value in said.items()}
    if isinstance(said, list | tuple):
        return [without_folders(value) for value in said]
    if not isinstance(said, str):
        return said
    option, equals, path = said.partition("=") if said.startswith("--") else ("", "", said)
    written = Path(path).expanduser() if path.startswith(("/", "~")) else Path(".")
    if not written.is_absolute():
        return said
    here = Path.cwd()
    shown = written.relative_to(here) if written.is_relative_to(here) else f".../{written.name}"
    return f"{option}{equals}{shown}"


def clock(seconds: float) -> str:
    """Write a time as ``m:ss``, from an hour on as ``h:mm:ss``, from 100 hours on in days and hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
