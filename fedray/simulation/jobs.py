"""Pieces of work for workers, and their deadlines."""

import heapq
import itertools
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


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
        run_timeout_s: How long a worker may take for it, None for no such limit.
        tries: How many workers have taken it.
        over: Whether it is done, failed or withdrawn.
    """

    start: Callable[[Any], Any]
    on_done: Callable[[Any], None]
    on_failed: Callable[[BaseException], None]
    name: str
    max_tries: int = 1
    deadline: float = math.inf
    run_timeout_s: float | None = None
    tries: int = 0
    over: bool = False


@dataclass(order=True)
class _Deadline:
    when: float
    sequence: int
    job: "weakref.ref[Job]" = field(compare=False)  # a finished job must be free to go before its hour comes
    of_try: int | None = field(compare=False)  # None: the deadline of the job, whichever the try

    def pending(self) -> Job | None:
        """Return the job that this deadline still concerns."""
        job = self.job()
        return None if job is None or job.over or self.of_try not in (None, job.tries) else job


class Deadlines:
    """A heap of the jobs' deadlines, in seconds of ``time.monotonic()``."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[_Deadline] = []
        self._sequence = itertools.count()
        self._compact_at = 64

    def add(self, when: float, job: Job, of_try: int | None) -> None:
        """Note a job's deadline: of one try, or (None) of the whole job."""
        if math.isinf(when):
            return
        heapq.heappush(self._heap, _Deadline(when, next(self._sequence), weakref.ref(job), of_try))
        if len(self._heap) > self._compact_at:
            self._heap = [deadline for deadline in self._heap if deadline.pending() is not None]
            heapq.heapify(self._heap)
            self._compact_at = 2 * len(self._heap) + 64

    def next(self) -> float:
        """When to look again: the earliest deadline, infinity if there is none."""
        return self._heap[0].when if self._heap else math.inf

    def pop_missed(self, now: float) -> list[tuple[Job, str]]:
        """Remove the deadlines before ``now``. Returns the jobs that missed theirs, and the limit in words."""
        missed = []
        while self._heap and self._heap[0].when <= now:
            deadline = heapq.heappop(self._heap)
            if (job := deadline.pending()) is not None:
                limit = "by its deadline" if deadline.of_try is None else f"within {job.run_timeout_s:g} s on a worker"
                missed.append((job, limit))
        return missed
