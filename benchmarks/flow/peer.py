"""Hugging Face's diffusers in a folder of its own, under the user's cache: it never meets our environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from benchmarks.processes import REPOSITORY

PACKAGES = ("diffusers==0.42.1", "huggingface_hub==2.4.0", "importlib_metadata==10.2.0")
"""What it needs beside what is installed here: torch and NumPy are the same on both sides."""


def diffusers_folder() -> Path:
    """Return a folder for ``PYTHONPATH``; the first call fills it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedray" / "benchmarks"
    folder = cache / PACKAGES[0].replace("==", "-")
    complete = folder / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            print(f"installing {PACKAGES[0]} into {folder} ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted call left
            subprocess.run([*_installer(), "--target", str(folder), "--no-deps", *PACKAGES], check=True)
            complete.touch()
    return folder


def _installer() -> list[str]:
    ours = REPOSITORY / ".uv" / "bin" / "uv"
    uv = shutil.which("uv") or (str(ours) if ours.exists() else None)
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
