"""Notes every file that a process opens: what is first on PYTHONPATH is imported before all else."""

import os
import sys

_FOLDER = os.environ["FEDRAY_TEST_OPENED"]
_note = os.open(f"{_FOLDER}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _noted(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes):
        os.write(_note, os.fsencode(arguments[0]) + b"\n")


sys.addaudithook(_noted)
