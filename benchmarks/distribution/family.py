"""What a process and all that it started take: memory, sampled from outside, so that nobody waits; and CPU time."""

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from benchmarks.memory import private_bytes_of
from benchmarks.processes import descendants

_INTERVAL_S, _FAMILY_EVERY = 0.02, 50  # to look for new processes takes as long as a sample of all


def family_cpu_s(name: str = "") -> float:
    """Return the CPU seconds of this process and all that it started, or of those with a command that begins so."""
    ticks = 0
    for pid in (os.getpid(), *descendants(os.getpid())):
        process = Path(f"/proc/{pid}")
        with suppress(FileNotFoundError, ProcessLookupError):
            if process.joinpath("cmdline").read_bytes().startswith(name.encode()):
                ticks += sum(map(int, process.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


class FamilyMemory:
    """Samples the sum of the private memory of a family of processes while its ``with`` block runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Prepare the thread."""
        self._pid = process.pid
        self._samples: list[tuple[float, int]] = []
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_finished, name="family-memory", daemon=True)

    def growth_mb(self, begin: float, end: float) -> float:
        """Return how much more there was at most in a span of ``time.monotonic()`` than at its start, in MB of 10^6."""
        before = [nbytes for at, nbytes in self._samples if at <= begin]
        within = [nbytes for at, nbytes in self._samples if begin < at <= end]
        return (max(within, default=before[-1]) - before[-1]) / 1e6

    def __enter__(self) -> Self:
        """Start to sample."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop to sample."""
        self._finished.set()
        self._thread.join()

    def _sample_until_finished(self) -> None:
        family: list[Path] = []
        turn = 0
        while not self._finished.wait(_INTERVAL_S):
            if turn % _FAMILY_EVERY == 0:
                family = [Path(f"/proc/{pid}/status") for pid in (self._pid, *descendants(self._pid))]
            turn += 1
            self._samples.append((time.monotonic(), sum(map(private_bytes_of, family))))
