"""The login of a Ray that is started here: a token made for it, in a file that this user alone can read."""

import atexit
import fcntl
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import ray
from ray import _raylet
from ray._private.ray_constants import ENABLE_RAY_CLUSTERS_ENV_VAR

from ..errors import SimulationError

_MODE, _VALUE, _FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_LOOPBACK = {
    ENABLE_RAY_CLUSTERS_ENV_VAR: "0"
}  # 127.0.0.1 is meant: Ray puts the machine's outward address in its place
_BYTES = 32  # as many as `ray get-auth-token --generate` draws
_PREFIX = "token-"

_before: dict[str, str | None] = {}  # what of this the environment had before
_held: list[tuple[int, Path]] = []  # our tokens: each is kept locked, which tells others that its Ray still runs


def require_login(folder: Path) -> Path:
    """Have the Ray that this process starts next ask for a token, and tell the token to whom this process starts.

    They find it by ``RAY_AUTH_TOKEN_PATH``; it is never in the environment itself, nor on a command line. What the
    environment has for another Ray is put aside until :func:`withdraw_login`.

    Args:
        folder: Of this user alone. Tokens in it whose process has ended are removed.

    Returns:
        The token's file.

    Raises:
        SimulationError: This version of Ray knows no tokens.
        OSError: The folder cannot be written to.
    """
    if not hasattr(_raylet, "AuthenticationTokenLoader"):
        raise SimulationError(
            f"a Ray that FedRay starts asks for a token, which Ray {ray.__version__} does not know: whoever reaches it "
            "could run code; install the version of requirements.lock (2.52 is the first with tokens)"
        )
    withdraw_login()
    _remove_stale(folder)
    path = _write(folder)
    _before.update({name: os.environ.pop(name, None) for name in (_MODE, _VALUE, _FILE, *_LOOPBACK)})
    os.environ.update({_MODE: "token", _FILE: str(path), **_LOOPBACK})
    _read_again()
    return path


def withdraw_login() -> None:
    """Remove our token, and restore the environment's own login: once our Ray has ended, or where it never began."""
    _remove_own()
    for name, value in _before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    if _before:
        _before.clear()
        _read_again()


def _write(folder: Path) -> Path:
    """Write a new token; it gets its name, by which others look for stale ones, once it is locked."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, secrets.token_hex(_BYTES).encode())
    path = folder / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    os.rename(name, path)
    _held.append((descriptor, path))
    return path


@atexit.register  # the environment stays as it is: Ray's own end comes after this one, and still needs its login
def _remove_own() -> None:
    while _held:
        descriptor, path = _held.pop()
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _remove_stale(folder: Path) -> None:
    """Remove the tokens of processes that were killed: the lock went with them, and their Ray did too."""
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # locked, or another process removes it
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _read_again() -> None:
    """Have Ray read its login from the environment once more: it does so by itself only when it is first imported."""
    _raylet.AuthenticationTokenLoader.instance().reset_cache()  # type: ignore[attr-defined]
    _raylet.Config.initialize("")  # type: ignore[attr-defined]
