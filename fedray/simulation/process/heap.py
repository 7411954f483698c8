"""A heap that keeps what was freed, for workers and their driver: glibc's own settings give it back all the time.

An array above 32 MB is mapped anew for each client and unmapped after it: the system clears its pages again and again,
a quarter of the time of a client that does little with a large model, and half to nine tenths of a driver's average of
such models. A thread other than a process's first has its smaller memory in heaps of 64 MB, and one that ends where an
app allocates and frees, as a training step does, goes back and is fetched with every step: thousands of page faults, so
that one worker is slow and the next one is not.
"""

import ctypes
import os
import platform
import threading

_SETTINGS = {  # mallopt(3); read when a process starts, before any of its threads has a heap
    "MALLOC_ARENA_MAX": "1",  # threads share the heap of the first, which has no such ends
    "MALLOC_MMAP_MAX_": "0",  # large arrays come from the heap too
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),  # nothing goes back by itself
    "MALLOC_TOP_PAD_": str(64 << 20),  # the heap grows in steps of this much
}

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # mallopt(3)'s parameters, for a process that already runs
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20}
_DEFAULTS = {_MMAP_MAX: 65_536, _TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 128 << 10}


def heap_settings() -> dict[str, str]:
    """Return environment variables for a process that is to keep what it freed; none where the user has set some."""
    return {} if _user_has_set_some() else dict(_SETTINGS)


def give_freed_memory_back() -> None:
    """Return what this process has freed to the system: what one app has used need not stay for the next one's sake."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


class DriverHeap:
    """This process's heap, which keeps what is freed while somebody wants it; not where the user has set how it is."""

    def __init__(self) -> None:
        """Start as glibc has it."""
        self._num_wanting = 0
        self._lock = threading.RLock()  # a pool that is forgotten lets go wherever Python collects its garbage

    def keep(self) -> None:
        """Keep what is freed from now on."""
        with self._lock:
            self._num_wanting += 1
            if self._num_wanting == 1:
                _mallopt(_KEEPING)

    def let_go(self) -> None:
        """Return to glibc's own settings and give back what was freed, if nobody else wants it kept."""
        with self._lock:
            self._num_wanting -= 1
            if self._num_wanting == 0:
                _mallopt(_DEFAULTS)
                give_freed_memory_back()


driver_heap = DriverHeap()
"""There is one in a process."""


def _mallopt(settings: dict[int, int]) -> None:
    if platform.libc_ver()[0] == "glibc" and not _user_has_set_some():
        for parameter, value in settings.items():
            ctypes.CDLL(None).mallopt(parameter, value)


def _user_has_set_some() -> bool:
    return any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
