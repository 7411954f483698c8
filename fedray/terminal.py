"""What is said to people at a terminal: words as they are, and commands that can be typed there."""

import sys
from pathlib import Path

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


def clock(seconds: float) -> str:
    """Write a time as ``m:ss``, from an hour on as ``h:mm:ss``, from 100 hours on in days and hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
