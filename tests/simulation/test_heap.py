"""Memory that a thread frees stays with the process, wherever the end of a heap happens to be."""

import os
import platform
import subprocess
import sys

import pytest

# A thread that keeps a little more in each turn, so that what it allocates and frees meets the end of a heap.
SCRIPT = """
import resource, sys, threading
import numpy as np
from fedray.simulation.heap import keep_freed_memory

def step():
    return [np.ones(size) for size in (200_000, 800_000, 100_000)] and None

def work():
    kept, faults = [], 0
    for turn in range(40):
        kept.append([np.ones(1000) for _ in range(300)])
        step()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(20):
            step()
        faults += resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    print(faults)

print(keep_freed_memory() if sys.argv[1] == "keep" else None)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def run(argument: str, **environment: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", SCRIPT, argument]
    return subprocess.check_output(command, env=inherited | environment, text=True).split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_a_thread_does_not_fetch_its_memory_again_and_again() -> None:
    _, as_it_is = run("leave")
    applied, kept = run("keep")
    assert applied == "True"
    assert int(kept) < 0.2 * int(as_it_is)


def test_settings_in_the_environment_are_left_alone() -> None:
    assert run("keep", MALLOC_TOP_PAD_="0")[0] == "False"
