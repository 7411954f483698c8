"""A Ray of this machine alone: nobody else reaches it, neither over the network nor through its files."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.services import canonicalize_bootstrap_address

from ..errors import SimulationError

_LONGEST_BELOW = "/ray/session_0000-00-00_00-00-00_000000_4194304/sockets/plasma_store"
_MAX_SOCKET_PATH = 103  # bytes that the kernel takes: 107 on Linux, 103 on macOS
_PLACES = ("RAY_TMPDIR", "TMPDIR")


def find_ray(address: str | None = None) -> str | None:
    """Return the address of the Ray to join: what is asked for, ``RAY_ADDRESS``, or that of ``ray start`` here.

    None where there is none, or ``local`` is asked for: one is to be started.
    """
    told = address or os.environ.get("RAY_ADDRESS", "")
    if "://" in told:  # of Ray's client; Ray looks at it itself
        return told
    found: str | None = canonicalize_bootstrap_address(address)
    return found


def start_local_ray(**options: Any) -> None:
    """Start a Ray on this machine that listens on loopback only, and join it.

    Its session (sockets, logs, what it moves from memory to disk) is in a folder of this user alone. That is below
    ``RAY_TMPDIR``, ``TMPDIR`` or ``/tmp``: the first that is there and short enough for the sockets in it.

    Args:
        options: Of ``ray.init``.

    Raises:
        SimulationError: There is no such folder.
    """
    folder = options.pop("_temp_dir", None) or str(_session_root() / "ray")
    with _loopback_only():
        ray.init(**{**options, "address": "local", "_temp_dir": folder})


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Have Ray listen as it does on macOS: on Linux whoever reaches the machine could run code in it.

    ``_node_ip_address="127.0.0.1"`` does not do it: Ray puts the machine's outward address in its place.
    """
    name, enabled = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    told = os.environ.get(name)
    os.environ[name] = "0"  # for the processes that Ray starts; this one has read it
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        if told is None:
            del os.environ[name]
        else:
            os.environ[name] = told


def _session_root() -> Path:
    candidates = [value for name in _PLACES if (value := os.environ.get(name))] + ["/tmp"]
    reasons = []
    for place in candidates:
        folder = Path(place).absolute() / f"fedray-{os.getuid()}"
        if (length := len(os.fsencode(f"{folder}{_LONGEST_BELOW}"))) > _MAX_SOCKET_PATH:
            reasons.append(f"{place} is too long (a socket's path would have {length} bytes)")
            continue
        try:
            return _own(folder)
        except OSError as error:
            reasons.append(f"{place} cannot be used ({error.strerror or error})")
    raise SimulationError(
        f"Ray needs a folder for its sockets, whose paths may have {_MAX_SOCKET_PATH} bytes, but {'; '.join(reasons)}; "
        "set RAY_TMPDIR to a short, writable folder on a disk of this machine"
    )


def _own(folder: Path) -> Path:
    """Make a folder that this user alone can enter, or find it again. Somebody else's is passed by."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or not os.access(folder, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="fedray-", dir=folder.parent))
        folder.chmod(0o700)
    return folder
