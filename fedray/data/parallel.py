"""Work on several threads that keeps its order, and never outlives the file that it reads."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_cores() -> int:
    """Count the cores that this process may use: a batch system may give it fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def in_order(
    executor: Executor, work: Callable[[Item], Result], items: Iterable[Item], num_ahead: int
) -> Generator[Result, None, None]:
    """Yield the results of items in their order, at most ``num_ahead`` of them worked on at a time.

    Close it, or use it up, before what ``work`` reads is closed: then nothing is being worked on any more. A thread
    that reads a closed file would crash the process, or read another file that was given its number.
    """
    ahead: deque[Future[Result]] = deque()
    try:
        for item in items:
            ahead.append(executor.submit(work, item))
            if len(ahead) >= num_ahead:
                yield ahead[0].result()
                ahead.popleft()
        while ahead:
            yield ahead[0].result()
            ahead.popleft()
    finally:
        wait([future for future in ahead if not future.cancel()])
