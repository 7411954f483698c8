"""Measurements in fresh processes, which leave nothing behind."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_END_TIMEOUT_S = 10.0
_STATE, _PARENT, _STARTED = 0, 1, 19  # fields of /proc/PID/stat after the command's name

# The same for every engine: one thread a process, no GPU, a Ray of its own, no posts to anybody, and the priority that
# processes have by default: Ray would put its workers behind everything else on the machine (nice 15).
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONPATH": str(REPOSITORY),
    "RAY_ADDRESS": "local",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FLWR_TELEMETRY_ENABLED": "0",
}


class MeasurementError(RuntimeError):
    """A measuring process failed, or measured what cannot be right."""


class TooSlowError(MeasurementError):
    """A measuring process took longer than it may."""


def run_fresh(command: Sequence[str], log: Path, timeout_s: float, environment: dict[str, str] | None = None) -> None:
    """Run a command in a process of its own and wait for it. All processes it started end with it.

    Args:
        command: The program and its arguments. It runs in the repository.
        log: Where its output goes.
        timeout_s: How long it may take.
        environment: Further environment variables.

    Raises:
        TooSlowError: It took longer.
        MeasurementError: It failed. The message has the end of its output.
    """
    with fresh_process(command, log, environment) as process:
        wait_for_success(process, log, timeout_s)


@contextmanager
def fresh_process(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command as :func:`run_fresh` does; at the end of the ``with`` block it ends with all that it started."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | _ENVIRONMENT | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            _end(process)


def wait_for_success(process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Wait for a process to end.

    Raises:
        TooSlowError: It took longer.
        MeasurementError: It failed. The message has the end of its log.
    """
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise TooSlowError(f"took longer than {timeout_s:g} s and was ended") from None
    if status != 0:
        raise MeasurementError(f"ended with status {status}; the end of {log}:\n{_tail(log)}")


def signal_family(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and to all that it started."""
    for pid in (process.pid, *descendants(process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started. Does nothing where it has ended by itself."""
    if process.poll() is not None:
        return
    signal_family(process, signal.SIGCONT)  # one that is stopped would not hear of its end
    family = descendants(process.pid)
    process.terminate()  # Ray ends its processes with their driver
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    deadline = time.monotonic() + _END_TIMEOUT_S
    while time.monotonic() < deadline and any(_start_time(pid) == started for pid, started in family.items()):
        time.sleep(0.1)
    for pid, started in family.items():
        if _start_time(pid) == started:  # still the same process, not a new one with its id
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> dict[int, str]:
    """Return the start times of a process's descendants, by process id."""
    parents = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        parent = str(waiting.pop())
        children = [child for child, stat in parents.items() if len(stat) > _STARTED and stat[_PARENT] == parent]
        found |= {child: parents[child][_STARTED] for child in children}
        waiting += children
    return found


def _start_time(pid: int) -> str | None:
    stat = _stat(pid)
    return stat[_STARTED] if len(stat) > _STARTED and stat[_STATE] != "Z" else None


def _stat(pid: int) -> list[str]:
    """Return /proc/PID/stat from the state on, empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _tail(log: Path, num_lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-num_lines:])
