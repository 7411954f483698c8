"""What it takes to run a server on this machine: a port that is free, and waiting until something is so."""

import socket
import time
from collections.abc import Callable

_DEADLINE_S = 240.0
_SHORTEST_S, _LONGEST_S = 0.02, 0.5  # between two looks, some of which ask another process, or many


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(met: Callable[[], bool], what: str | Callable[[], str], deadline_s: float = _DEADLINE_S) -> None:
    """Look again and again whether something is met: soon at first, and the less often the longer it takes.

    Args:
        met: Says whether it is.
        what: What is waited for, or a function that explains afterwards why it was not met.
        deadline_s: Seconds to wait at most.

    Raises:
        TimeoutError: It was not met by the deadline.
    """
    started = time.monotonic()
    while not met():
        waited_s = time.monotonic() - started
        if waited_s > deadline_s:
            raise TimeoutError(f"waited {deadline_s:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(min(_LONGEST_S, max(_SHORTEST_S, waited_s / 20)))
