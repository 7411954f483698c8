"""Flower's own programs, started from here and ended with what needs them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_END_S = 20.0
"""Longest that one may take to end, in seconds."""


@contextmanager
def flower_process(
    program: str, arguments: Sequence[object], environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program of this environment's, and end it with the block.

    Args:
        program: Its name, such as ``flower-supernode``; with ``-m`` before it, a module.
        arguments: Of its command line.
        environment: Variables beside this process's.
    """
    programs = Path(sys.executable).parent
    command = [sys.executable, *program.split()] if program.startswith("-m ") else [str(programs / program)]
    # Flower starts more programs of its own by their names.
    path = {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    process = subprocess.Popen([*command, *map(str, arguments)], env={**os.environ, **path, **(environment or {})})
    try:
        yield process
    finally:
        end_process(process)


def end_process(process: "subprocess.Popen[bytes]", within_s: float = _END_S) -> None:
    """Ask a process to end, and kill it if it has not done so in time.

    Args:
        process: The process; it may have ended already.
        within_s: Seconds that it may take.
    """
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
