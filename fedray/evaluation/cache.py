"""Built once, read by all: tensors under the cache directory, written whole or not at all, without pickle."""

import logging
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import filelock
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedray.data import cache_dir
from fedray.evaluation.errors import EvaluationError
from fedray.storage import digest, in_order, write_whole

BUILD_TIMEOUT_S = 3600.0
"""Longest to wait while another process builds the same file, in seconds."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

_DIGEST = "digest"  # among the strings of a file: of all the others, and of the arrays


CacheFiles = Mapping[str, bytes]
"""Cached files by their path below the cache folder, on their way to another machine."""

_used: ContextVar[list[Path] | None] = ContextVar("_used", default=None)


def with_used_files(call: Callable[[], T]) -> tuple[T, CacheFiles]:
    """Call a function. Returns its result, and the cached files that it read or built."""
    used: list[Path] = []
    token = _used.set(used)
    try:
        result = call()
    finally:
        _used.reset(token)
    return result, {str(path.relative_to(cache_dir())): path.read_bytes() for path in used}


def install_files(files: CacheFiles) -> None:
    """Put files of another machine into this one's cache; those that are there, and whole, stay."""
    for name, content in files.items():
        path = cache_dir() / name
        if _read(path) is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)


@dataclass(frozen=True)
class Stored:
    """What one cache file holds: arrays by name, and strings by name."""

    arrays: dict[str, NDArray[np.generic]]
    metadata: dict[str, str]


def cache_path(fingerprint: str, name: str) -> Path:
    """Where a file about the store with this fingerprint is cached; ``name`` without its extension."""
    folder = re.sub(r"[^A-Za-z0-9._-]", "_", fingerprint)
    return cache_dir() / "evaluation" / folder / f"{name}.safetensors"


def load_or_build(path: Path, build: Callable[[], Stored]) -> Stored:
    """Read a cached file; where it is missing or unreadable, one process builds it and the others wait for that one.

    Raises:
        EvaluationError: Another process has held the lock for longer than ``BUILD_TIMEOUT_S``.
    """
    if (used := _used.get()) is not None:
        used.append(path)
    found = _read(path)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(f"{path}.lock", timeout=BUILD_TIMEOUT_S)
    try:
        with lock:
            found = _read(path)  # another process may have built it meanwhile
            if found is not None:
                return found
            if path.exists():
                _log.warning("the cached file %s is damaged, or an older FedRay's, and is built again", path)
            built = build()
            _write(path, built)
            return built
    except filelock.Timeout:
        raise EvaluationError(
            f"waited {BUILD_TIMEOUT_S:.0f} s for another process to build {path}; if none runs, delete {path}.lock"
        ) from None


def _read(path: Path) -> Stored | None:
    """Read a cached file; None where it is missing, or not what was written."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, the file is no mapping
            found = Stored(arrays, dict(file.metadata() or {}))
    except (SafetensorError, OSError):
        return None
    kept = found.metadata.pop(_DIGEST, None)
    return found if kept == _digest_of(found) else None


def _write(path: Path, stored: Stored) -> None:
    metadata = {**stored.metadata, _DIGEST: _digest_of(stored)}
    write_whole(path, save(in_order(stored.arrays), metadata=metadata))


def _digest_of(stored: Stored) -> str:
    arrays = in_order(stored.arrays)
    digests = {name: (str(array.dtype), array.shape, digest(array.reshape(-1))) for name, array in arrays.items()}
    return digest(repr((sorted(digests.items()), sorted(stored.metadata.items()))).encode())
