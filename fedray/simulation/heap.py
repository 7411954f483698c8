"""A heap that keeps what was freed, for the threads of a worker.

A thread other than a process's first gets its memory from glibc in heaps of 64 MB. An app that allocates and frees
across the end of one, as a training step does, has that heap given back to the system and fetched again with every
step: thousands of page faults a client, a quarter of its time. Whether it does depends on what happened to be allocated
before, so that one worker is slow and the next one is not.
"""

import ctypes
import os
import platform

# mallopt(3). All three, because setting one stops glibc from adapting the others.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_HEAP_BYTES = 64 << 20  # glibc's HEAP_MAX_SIZE
_SETTINGS = {
    _M_MMAP_THRESHOLD: _HEAP_BYTES // 2,  # as far as glibc would adapt it, and the most it takes
    _M_TRIM_THRESHOLD: 2 * _HEAP_BYTES,
    _M_TOP_PAD: _HEAP_BYTES,  # an empty heap behind this much is kept
}


def keep_freed_memory() -> bool:
    """Have this process's malloc keep heaps that are empty. Returns whether it does.

    Nothing is changed where malloc is not glibc's, or where its settings come from the environment.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(name, value) == 1 for name, value in _SETTINGS.items()])
