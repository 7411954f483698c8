"""The workers of a pool: started, checked, replaced when they die, and kept at the number asked for."""

import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from .jobs import WorkerSlot
from .last_words import of_worker

logger = logging.getLogger(__name__)

_DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)
_CAUSE = re.compile(r"(?:Worker exit detail: |The actor died because of )(.*?)(?: Some common causes|\.? There are|$)")
_STARTS_PER_WORKER = 2  # a set-up function that raises does so every time

Watch = Callable[[Any, Callable[["Future[Any]"], None]], None]


class Crew:
    """Workers, on the dispatcher's thread."""

    def __init__(
        self, start_worker: Callable[[], Any], num_workers: int, watch: Watch, on_gone: Callable[[WorkerSlot], None]
    ) -> None:
        """Ask for all workers.

        Args:
            start_worker: Returns a new actor.
            num_workers: How many to keep.
            watch: Has a function called with a reference's future on the dispatcher's thread.
            on_gone: Is told of every worker that died or was killed.
        """
        self._start_worker, self._watch, self._on_gone = start_worker, watch, on_gone
        self.slots: list[WorkerSlot] = []
        self.none_up_since = time.monotonic()
        self.last_death = ""
        self._starts_left = 0
        self._wanted = 0
        self._want(num_workers)

    @property
    def up(self) -> list[WorkerSlot]:
        """Those that can work."""
        return [slot for slot in self.slots if slot.up]

    @property
    def idle(self) -> list[WorkerSlot]:
        """Those that wait for work."""
        return [slot for slot in self.slots if slot.idle]

    def grow(self, room: int, limit: int) -> None:
        """Add as many workers as there is room for, up to a limit in all. Those that still start take of the room."""
        starting = sum(not slot.up for slot in self.slots)
        if (num_workers := min(limit, self._wanted + max(0, room - starting))) > self._wanted:
            self._want(num_workers)

    def lose(self, slot: WorkerSlot, error: BaseException) -> None:
        """Replace a worker that died, and find out who died with it."""
        if slot not in self.slots:
            return
        self.last_death = summary(error)
        logger.warning("A worker died and is replaced: %s", self.last_death)
        self.replace(slot)
        if slot.was_up:  # with its node perhaps: do not spend a client's tries on finding out one by one
            for other in self.slots:
                if other.idle:
                    self._check(other)

    def replace(self, slot: WorkerSlot) -> None:
        """Kill a worker and start another."""
        if slot not in self.slots:
            return
        self._remove(slot)
        if self._starts_left > 0 and len(self.slots) < self._wanted:
            self._add()

    def end(self) -> None:
        """Kill all workers and start none."""
        slots, self.slots = self.slots, []
        self._wanted = 0
        if ray.is_initialized():
            for slot in slots:
                ray.kill(slot.actor)

    def _want(self, num_workers: int) -> None:
        self._starts_left += (num_workers - self._wanted) * _STARTS_PER_WORKER
        self._wanted = num_workers
        while len(self.slots) < num_workers:
            self._add()

    def _add(self) -> None:
        self._starts_left -= 1
        slot = WorkerSlot(self._start_worker())
        self.slots.append(slot)
        self._check(slot)

    def _remove(self, slot: WorkerSlot) -> None:
        self.slots.remove(slot)
        ray.kill(slot.actor)
        if slot.was_up:
            self.none_up_since = time.monotonic()
        self._on_gone(slot)

    def _check(self, slot: WorkerSlot) -> None:
        """Have a worker say that it is up; until then it gets no work."""
        slot.up = False
        if slot.was_up:
            self.none_up_since = time.monotonic()
        self._watch(slot.actor.ready.remote(), partial(self._checked, slot))

    def _checked(self, slot: WorkerSlot, future: "Future[Any]") -> None:
        if slot not in self.slots:
            return
        if (error := future.exception()) is not None:
            self.lose(slot, error)
            return
        if not slot.was_up:
            self._starts_left += 1
        slot.up = slot.was_up = True
        slot.ray_node = future.result()


def is_death(error: BaseException) -> bool:
    """Tell a worker's death from an error that the work itself raised (which may well be one of Ray's)."""
    return isinstance(error, _DEATHS) and not isinstance(error, RayTaskError)


def summary(error: BaseException) -> str:
    """One line about a death: the exception if the worker's set-up raised one, else Ray's cause and its last words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if "creation task" in lines[0]:
        return f"{type(error).__name__}: {lines[-1]}"
    cause = next((found[1] for line in lines if (found := _CAUSE.search(line))), "")
    told = [part for part in (cause, of_worker(str(error))) if part]
    return "; ".join([f"{type(error).__name__}: {lines[0].rstrip('.')}", *told])
