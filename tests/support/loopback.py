"""What it takes to run a server on this machine: a port that is free, and waiting until something is so."""

import socket
import time
from collections.abc import Callable

_DEADLINE_S = 240.0
_LOOK_S = 0.1


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(met: Callable[[], bool], what: str | Callable[[], str], deadline_s: float = _DEADLINE_S) -> None:
    """Look again and again whether something is met.

    Args:
        met: Says whether it is.
        what: What is waited for, or a function that explains afterwards why it was not met.
        deadline_s: Seconds to wait at most.

    Raises:
        TimeoutError: It was not met by the deadline.
    """
    deadline = time.monotonic() + deadline_s
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {deadline_s:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(_LOOK_S)
