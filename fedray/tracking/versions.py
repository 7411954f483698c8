"""Which code made a run: commit, FedRay, Python and the libraries that decide numbers."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import fedray

_LIBRARIES = ("torch", "torchvision", "flwr", "ray", "optuna", "torch-fidelity", "mlflow", "numpy")


@functools.cache
def _code_version_tags() -> tuple[tuple[str, str], ...]:
    tags = {"fedray.version": _version("fedray"), "fedray.python": platform.python_version()}
    tags |= {f"fedray.version.{name}": _version(name) for name in _LIBRARIES}
    return tuple((tags | _git_tags()).items())


def code_version_tags() -> dict[str, str]:
    """Return tags that name the code of a run.

    ``mlflow.source.git.commit`` (the UI's column *Version*) and ``fedray.git.dirty`` are there where FedRay runs from
    its git repository, not where it is installed or was uploaded to a cluster without ``.git``.
    """
    return dict(_code_version_tags())


_WORDS = {
    "fedray.version": "FedRay",
    "fedray.python": "Python",
    "mlflow.source.git.commit": "commit of FedRay",
    "fedray.git.dirty": "changed since that commit",
}


def code_versions() -> dict[str, str]:
    """Return the same by words for people, as pages show it."""
    return {
        _WORDS.get(name, name.rpartition("fedray.version.")[2]): value for name, value in code_version_tags().items()
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _git_tags() -> dict[str, str]:
    package = Path(fedray.__file__).resolve().parent
    # A virtual environment inside another project's repository must not pass for our commit.
    if not _git(package, "ls-files", "--", "__init__.py"):
        return {}
    commit = _git(package, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(package, "status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "fedray.git.dirty": str(bool(changed)).lower()}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
