"""A heap that keeps what was freed, for workers: glibc's own settings give an app's memory back all the time.

An array above 32 MB is mapped anew for each client and unmapped after it: the system clears its pages again and again,
a quarter of the time of a client that does little with a large model. A thread other than a process's first has its
smaller memory in heaps of 64 MB, and one that ends where an app allocates and frees, as a training step does, goes back
and is fetched with every step: thousands of page faults, so that one worker is slow and the next one is not.
"""

import ctypes
import os
import platform

_SETTINGS = {  # mallopt(3); read when a process starts, before any of its threads has a heap
    "MALLOC_ARENA_MAX": "1",  # threads share the heap of the first, which has no such ends
    "MALLOC_MMAP_MAX_": "0",  # large arrays come from the heap too
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),  # nothing goes back by itself
    "MALLOC_TOP_PAD_": str(64 << 20),  # the heap grows in steps of this much
}


def heap_settings() -> dict[str, str]:
    """Return environment variables for a process that is to keep what it freed; none where the user has set some."""
    return {} if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ) else dict(_SETTINGS)


def give_freed_memory_back() -> None:
    """Return what this process has freed to the system: what one app has used need not stay for the next one's sake."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
