"""Engines that take turns, a round each, so that a machine whose speed changes is as fast for the one as for the other.

While one computes, the others are stopped as a whole: none of their processes costs it any time. Needs Python alone:
pfl's environment has this module too.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import MeasurementError, TooSlowError, fresh_process, signal_family, wait_for_success

_READY = "ready"


class Player:
    """An engine's side: it says what its last round took, and waits until it is its turn."""

    def __init__(self, done: Path, turn: Path) -> None:
        """Open the pipes that the game has made."""
        self._done = done.open("w")
        self._turn = turn.open()
        self._start: float | None = None

    def finish_round(self) -> None:
        """Tell how long the round took; before the first one, that it can begin."""
        took = _READY if self._start is None else repr(time.perf_counter() - self._start)
        self._done.write(f"{took}\n")
        self._done.flush()

    def wait_for_turn(self) -> None:
        """Wait; after the last round the game lets everybody go on at once."""
        self._turn.readline()

    def start_round(self) -> None:
        """Start the clock."""
        self._start = time.perf_counter()


@dataclass(frozen=True)
class _Seat:
    """The game's side of an engine."""

    process: subprocess.Popen[bytes]
    log: Path
    done: int
    turn: int

    def hear(self, timeout_s: float) -> str:
        """Return the engine's next line."""
        deadline = time.monotonic() + timeout_s
        while not select.select([self.done], [], [], 0.5)[0]:
            if self.process.poll() is not None:
                wait_for_success(self.process, self.log, timeout_s)
                raise MeasurementError(f"ended before its last round; see {self.log}")
            if time.monotonic() > deadline:
                raise TooSlowError(f"a round took longer than {timeout_s:g} s; see {self.log}")
        return os.read(self.done, 100).decode().strip()

    def give_turn(self) -> None:
        """Wake the engine and let it compute."""
        signal_family(self.process, signal.SIGCONT)
        os.write(self.turn, b"go\n")

    def stop(self) -> None:
        """Stop all that belongs to the engine."""
        signal_family(self.process, signal.SIGSTOP)


def play(
    commands: Sequence[Sequence[str]], logs: Sequence[Path], num_rounds: int, timeout_s: float
) -> list[list[float]]:
    """Run engines side by side, of which one computes at a time.

    Args:
        commands: How each engine is started; the paths of its :class:`Player`'s pipes are put behind.
        logs: Where each one's output goes; the pipes lie beside it.
        num_rounds: How many rounds each one runs, the next one's order being turned every time.
        timeout_s: How long a round, or an engine's start or end, may take.

    Returns:
        Each engine's seconds, a round at a time.

    Raises:
        TooSlowError: An engine took longer.
        MeasurementError: One failed.
    """
    seconds: list[list[float]] = [[] for _ in commands]
    with ExitStack() as stack:
        seats = []
        for command, log in zip(commands, logs, strict=True):
            seat = stack.enter_context(_seat(command, log))
            if (heard := seat.hear(timeout_s)) != _READY:
                raise MeasurementError(f"was to be ready, but said {heard!r}; see {log}")
            seat.stop()
            seats.append(seat)
        for index in range(num_rounds):
            players = list(enumerate(seats))
            for number, seat in players if index % 2 == 0 else players[::-1]:
                seat.give_turn()
                seconds[number].append(float(seat.hear(timeout_s)))
                seat.stop()
        for seat in seats:
            seat.give_turn()
            wait_for_success(seat.process, seat.log, timeout_s)
    return seconds


@contextmanager
def _seat(command: Sequence[str], log: Path) -> Iterator[_Seat]:
    pipes = [log.with_suffix(suffix) for suffix in (".done", ".turn")]
    log.parent.mkdir(parents=True, exist_ok=True)
    for pipe in pipes:
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
    done, turn = (os.open(pipe, os.O_RDWR) for pipe in pipes)  # on Linux that does not wait for the other side
    try:
        with fresh_process([*command, *map(str, pipes)], log) as process:
            yield _Seat(process, log, done, turn)
    finally:
        for descriptor, pipe in zip((done, turn), pipes, strict=True):
            os.close(descriptor)
            pipe.unlink()
