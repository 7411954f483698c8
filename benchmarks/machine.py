"""What the figures were measured on: the machine and the versions of what matters."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def describe_machine(packages: Iterable[str]) -> dict[str, str]:
    """Return the CPU model, the cores and the memory that this process may use, and the packages' versions."""
    return {
        "CPU": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def machine_sentence(machine: dict[str, str]) -> str:
    """Return the description as one line of Markdown."""
    return "Measured on: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + "."


def busy_warning(limit: float = 0.5) -> str:
    """Return a warning if other processes used more than ``limit`` cores in the last minute, else nothing."""
    load = os.getloadavg()[0]
    if load <= limit:
        return ""
    return f"Warning: the machine was busy before the measurement (load average {load:.1f}); durations may be too long."


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
