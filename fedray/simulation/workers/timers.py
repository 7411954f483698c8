"""Things to do at a certain time, for a thread that asks what is due."""

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(order=True)
class Timer:
    """Something to do at ``when`` (``time.monotonic()``), unless it is cancelled first."""

    when: float
    sequence: int
    action: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Do not do it. What it refers to is free to go at once."""
        self.action = None


class Timers:
    """A heap of timers."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[Timer] = []
        self._sequence = itertools.count()
        self._compact_at = 64

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        """Do something at a time, never if that is infinite."""
        timer = Timer(when, next(self._sequence), action)
        if not math.isinf(when):
            heapq.heappush(self._heap, timer)
        if len(self._heap) > self._compact_at:
            self._heap = [timer for timer in self._heap if timer.action is not None]
            heapq.heapify(self._heap)
            self._compact_at = 2 * len(self._heap) + 64
        return timer

    def next(self) -> float:
        """When to look again: the earliest timer, infinity if there is none."""
        while self._heap and self._heap[0].action is None:
            heapq.heappop(self._heap)
        return self._heap[0].when if self._heap else math.inf

    def due(self, now: float) -> list[Callable[[], None]]:
        """Remove the timers before ``now`` and return what they are to do."""
        actions = []
        while self.next() <= now:
            timer = heapq.heappop(self._heap)
            if timer.action is not None:
                actions.append(timer.action)
                timer.cancel()
        return actions
