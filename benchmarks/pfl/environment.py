"""pfl's own environment, under the user's cache: its dependencies never meet ours."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from benchmarks.processes import REPOSITORY

PFL_VERSION = "0.6.0"


def pfl_python() -> Path:
    """Return the Python with pfl and with our torch and NumPy; the first call makes its environment."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedray" / "benchmarks"
    folder = cache / f"pfl-{PFL_VERSION}-torch-{version('torch')}"
    python, complete = folder / "bin" / "python", folder / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            print(f"making an environment for pfl in {folder} ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted call left
            _install(folder, python)
            complete.touch()
    return python


def _install(folder: Path, python: Path) -> None:
    packages = [f"pfl[pytorch]=={PFL_VERSION}", f"torch=={version('torch')}", f"numpy=={version('numpy')}"]
    if (uv := _find_uv()) is not None:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", str(python), *packages)
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)


def _find_uv() -> str | None:
    ours = REPOSITORY / ".uv" / "bin" / "uv"
    return shutil.which("uv") or (str(ours) if ours.exists() else None)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
