"""Memory that an app frees stays with the worker until the next app: it is not cleared again for every client."""

import os
import platform
import subprocess
import sys

import pytest

from fedray.simulation.heap import heap_settings

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")

# A thread that keeps a little more in each turn, so that what it allocates and frees meets the end of a heap.
SCRIPT = """
import resource, sys, threading
from pathlib import Path
import numpy as np
from fedray.simulation.heap import give_freed_memory_back

sizes = [int(size) for size in sys.argv[1:]]

def step():
    return [np.ones(size) for size in sizes] and None

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def work():
    kept, faults = [], 0
    for turn in range(20):
        kept.append([np.ones(1000) for _ in range(300)])
        step()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(10):
            step()
        faults += resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    before = resident_bytes()
    give_freed_memory_back()
    print(faults, before - resident_bytes())

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
STEPS = {"a training step": (200_000, 800_000, 100_000), "a large model": (6_000_000,)}  # numbers of float64


def run(sizes: tuple[int, ...], settings: dict[str, str]) -> tuple[int, int]:
    """Return page faults while memory is used again, and bytes that went back to the system in the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", SCRIPT, *map(str, sizes)]
    faults, given_back = subprocess.check_output(command, env=inherited | settings, text=True).split()
    return int(faults), int(given_back)


@pytest.mark.parametrize("sizes", STEPS.values(), ids=STEPS)
def test_memory_is_not_fetched_again_and_again_and_goes_back_when_it_is_to(sizes: tuple[int, ...]) -> None:
    as_it_is, _ = run(sizes, {})
    kept, given_back = run(sizes, heap_settings())
    assert kept < 0.2 * as_it_is
    assert given_back > 0.8 * 8 * max(sizes)


def test_settings_of_the_user_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heap_settings()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert heap_settings() == {}
