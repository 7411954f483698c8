"""Memory that an app frees stays with the worker until the next app, what a driver frees until its pool is closed."""

import os
import platform
import subprocess
import sys

import pytest

from fedray.simulation.process import heap
from fedray.simulation.process.heap import heap_settings

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")

# Processes take the file alone: with its packages they would import Ray and Flower, which takes seconds.
LOAD = f"import runpy; heap = runpy.run_path({heap.__file__!r})"

# A thread that keeps a little more in each turn, so that what it allocates and frees meets the end of a heap.
SCRIPT = f"""
{LOAD}
import resource, sys, threading
from pathlib import Path
import numpy as np

turns, *sizes = map(int, sys.argv[1:])

def step():
    return [np.ones(size) for size in sizes] and None

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def work():
    kept, faults = [], 0
    for turn in range(turns):
        kept.append([np.ones(1000) for _ in range(300)])
        step()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(10):
            step()
        faults += resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    before = resident_bytes()
    heap["give_freed_memory_back"]()
    print(faults, before - resident_bytes())

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
STEPS = {"a training step": (20, 200_000, 800_000, 100_000), "a large model": (3, 5_000_000)}
"""Turns, and numbers of float64: above 32 MB an array is mapped anew in each."""


def run(turns: int, sizes: tuple[int, ...], settings: dict[str, str]) -> tuple[int, int]:
    """Return page faults while memory is used again, and bytes that went back to the system in the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", SCRIPT, str(turns), *map(str, sizes)]
    faults, given_back = subprocess.check_output(command, env=inherited | settings, text=True).split()
    return int(faults), int(given_back)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_memory_is_not_fetched_again_and_again_and_goes_back_when_it_is_to(step: tuple[int, ...]) -> None:
    turns, *sizes = step
    as_it_is, _ = run(turns, tuple(sizes), {})
    kept, given_back = run(turns, tuple(sizes), heap_settings())
    assert kept < 0.2 * as_it_is
    assert given_back > 0.8 * 8 * max(sizes)


def test_settings_of_the_user_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heap_settings()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert heap_settings() == {}


DRIVER = f"""
{LOAD}
import resource
import numpy as np

driver_heap = heap["driver_heap"]

def faults_of_an_average():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        total = np.ones(5_000_000) * 0.5
        total += np.ones(5_000_000) * 0.5
        total.tobytes()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

faults_of_an_average()
print(faults_of_an_average())
for _ in range(2):
    driver_heap.keep()
faults_of_an_average()
driver_heap.let_go()
print(faults_of_an_average())
before = resident_bytes()
driver_heap.let_go()
print(before - resident_bytes())
print(faults_of_an_average())
"""


def test_a_driver_keeps_its_memory_while_one_wants_it_and_gives_it_back_then() -> None:
    def run_driver(settings: dict[str, str]) -> list[int]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        printed = subprocess.check_output([sys.executable, "-c", DRIVER], env=inherited | settings, text=True)
        return [int(number) for number in printed.split()]

    as_it_was, kept, given_back, as_it_is_then = run_driver({})
    assert kept < 0.05 * as_it_was
    assert given_back > 2 * 40_000_000
    assert as_it_is_then > 0.5 * as_it_was
    _, kept, *_ = run_driver({"MALLOC_TOP_PAD_": "131072"})
    assert kept > 0.5 * as_it_was, "the user's own settings count"
