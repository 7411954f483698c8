"""Work for workers: single jobs, sources that cut jobs out of something larger, and the slots of who works."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import SimulationError
from .timers import Timer


@dataclass(eq=False)
class Job:
    """A piece of work for one worker. ``on_done`` and ``on_failed`` run on the dispatcher's thread and must not block.

    Attributes:
        start: Sends the work to a worker; the returned ref is ready when the work is over, and small.
        on_done: Gets the ref's value.
        on_failed: Gets what the work raised, or a SimulationError.
        name: What error messages call it.
        max_tries: How many workers may die over it.
        deadline: ``time.monotonic()`` at which it fails.
        tries: How many workers have taken it.
        over: Whether it is done, failed or withdrawn.
        timer: Of the deadline.
    """

    start: Callable[[Any], Any]
    on_done: Callable[[Any], None]
    on_failed: Callable[[BaseException], None]
    name: str
    max_tries: int = 1
    deadline: float = math.inf
    tries: int = 0
    over: bool = False
    timer: Timer | None = None

    def end(self) -> None:
        """Mark it as over."""
        self.over = True
        if self.timer is not None:
            self.timer.cancel()


@dataclass(eq=False)
class WorkerSlot:
    """One worker's place: its actor, where that is, and what it is doing."""

    actor: Any
    up: bool = False
    was_up: bool = False
    ray_node: str = ""
    job: Job | None = None

    @property
    def idle(self) -> bool:
        """Whether it could take a job."""
        return self.up and self.job is None


class Source(Protocol):
    """Something that workers do in pieces. All methods run on the dispatcher's thread and must not block."""

    def begin(self) -> None:
        """It is asked for pieces from now on."""

    def next_job(self, slot: WorkerSlot, num_idle: int) -> Job | None:
        """Return a piece for an idle worker, one of ``num_idle``; None if there is none now."""

    def worker_idle(self) -> None:
        """A worker is idle and there is no piece for it: take some back from another, perhaps."""

    def worker_lost(self, slot: WorkerSlot) -> None:
        """A worker is gone, with all that was on it."""

    def fail(self, error: SimulationError) -> None:
        """There are no workers and will be none."""
