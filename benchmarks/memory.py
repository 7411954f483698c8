"""How much private memory this process takes, sampled while it works."""

import threading
from pathlib import Path
from typing import Self

_STATUS = Path("/proc/self/status")
_MB = 1e6


def private_bytes() -> int:
    """Return this process's private memory.

    That is RssAnon, not RSS: RSS counts the pages of a shared object store that a process has touched, once in every
    process, although they exist once.
    """
    if found := private_bytes_of(_STATUS):
        return found
    raise RuntimeError(f"{_STATUS} has no line RssAnon: private memory can be measured on Linux alone")


def private_bytes_of(status: Path) -> int:
    """Return the private memory that a file /proc/PID/status tells, 0 where the process is gone."""
    try:
        with status.open("rb") as lines:
            for line in lines:
                if line.startswith(b"RssAnon:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class PrivateMemory:
    """Samples private memory in a thread while its ``with`` block runs. All figures are growth since its start."""

    def __init__(self, interval_s: float = 0.005) -> None:
        """Prepare the thread.

        Args:
            interval_s: Seconds between two samples. A sample takes about 0.05 ms.
        """
        self._interval_s = interval_s
        self._start = self._peak = private_bytes()
        self._finished = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._sample_until_finished, name="private-memory", daemon=True)

    def take_peak_mb(self) -> float:
        """Return the largest growth since the last call (or the start), in MB of 10^6 bytes."""
        now = private_bytes()
        with self._lock:
            peak, self._peak = max(self._peak, now), now
        return (peak - self._start) / _MB

    def __enter__(self) -> Self:
        """Note where the memory stands, and start to sample."""
        self._start = self._peak = private_bytes()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop to sample."""
        self._finished.set()
        self._thread.join()

    def _sample_until_finished(self) -> None:
        while not self._finished.wait(self._interval_s):
            now = private_bytes()
            with self._lock:
                self._peak = max(self._peak, now)
