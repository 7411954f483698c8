"""A Ray of this machine alone: nobody else reaches it, neither over the network nor through its files."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_ray_address_file
from ray._private import ray_constants
from ray._private.services import canonicalize_bootstrap_address

from ..errors import SimulationError
from .login import require_login, withdraw_login

_LONGEST_BELOW = "/ray/session_0000-00-00_00-00-00_000000_4194304/sockets/plasma_store"
_MAX_SOCKET_PATH = 103  # bytes that the kernel takes: 107 on Linux, 103 on macOS
_PLACES = ("RAY_TMPDIR", "TMPDIR")


def find_ray(address: str | None = None) -> str | None:
    """Return the address of the Ray to join: what is asked for, else ``RAY_ADDRESS``.

    A Ray that merely runs on this machine is not joined: it may be another user's, and whoever owns a Ray runs code in
    what joins it.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``local``, or ``auto``: the one of the last `ray start` here, if
            this user or the administrator ran it.

    Returns:
        None where nobody asks for one, or ``local`` is asked for: one is to be started.

    Raises:
        SimulationError: ``auto`` is asked for, but there is no such Ray.
        ValueError: It is no address.
    """
    told = os.environ.get("RAY_ADDRESS", "") if address in (None, "", "auto") else address
    told = told or address or "local"
    if "://" in told:  # of Ray's client; Ray looks at it itself
        return told
    found: str | None = _started_here() if told == "auto" else canonicalize_bootstrap_address(told)
    return found


def _started_here() -> str:
    """Return the address that `ray start` left on this machine, if it is not another user's: all can write there."""
    file = Path(get_ray_address_file(None))
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, encoding="ascii") as opened:
            if (owner := os.fstat(opened.fileno()).st_uid) not in (os.getuid(), 0):
                raise SimulationError(
                    f"the address auto stands for the Ray of the last `ray start` here, but {file} is of user {owner}, "
                    "who would run code as you; if you mean to, name its address HOST:PORT by RAY_ADDRESS"
                )
            return opened.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise SimulationError(
            f"the address auto stands for the Ray of the last `ray start` here, but {file} cannot be read ({problem}); "
            "name an address HOST:PORT by RAY_ADDRESS, or unset it: one is started then"
        ) from None


def start_local_ray(**options: Any) -> None:
    """Start a Ray on this machine that listens on loopback only and asks for a token, and join it.

    Its session (sockets, logs, what it moves from memory to disk) is in a folder of this user alone, because sockets
    ask for no token. That is below ``_temp_dir``, ``RAY_TMPDIR``, ``TMPDIR`` or ``/tmp``: the first that is there and
    short enough for the sockets in it. The token is made for this Ray, and is in that folder too; processes that this
    one starts know it (:func:`~fedray.simulation.workers.login.require_login`). End it by :func:`stop_local_ray`, or
    with this process.

    Args:
        options: Of ``ray.init``.

    Raises:
        SimulationError: There is no such folder, or Ray is too old to ask for tokens.
    """
    root = _session_root(options.get("_temp_dir"))
    require_login(root)
    try:
        with _loopback_only():
            ray.init(**{**options, "address": "local", "_temp_dir": str(root / "ray")})
    except BaseException:
        withdraw_login()
        raise


def stop_local_ray() -> None:
    """Leave the Ray that this process has joined; one that it has started ends, and its token with it."""
    ray.shutdown()
    withdraw_login()


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Have Ray listen as it does on macOS: on Linux whoever reaches the machine could run code in it.

    ``_node_ip_address="127.0.0.1"`` does not do it: Ray puts the machine's outward address in its place. The processes
    that it starts read the same from the environment (:mod:`~fedray.simulation.workers.login`).
    """
    enabled = ray_constants.ENABLE_RAY_CLUSTER  # read from the environment when Ray was imported
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled


def _session_root(told: str | None = None) -> Path:
    candidates = [place for place in (told, *map(os.environ.get, _PLACES), "/tmp") if place]
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
