"""Worker processes that outlive a grid: a sweep hands one pool from trial to trial."""

import math
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import GetTimeoutError
from ray.util.placement_group import PlacementGroup, get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ..errors import DeadlineExceededError
from ..process.heap import driver_heap, heap_settings
from ..process.worker import CONCURRENCY_GROUPS, Worker
from .dispatch import Dispatcher
from .jobs import Job
from .last_words import StartWatch
from .resources import count_fitting, describe_capacity

_CLOSE_TIMEOUT_S = 10.0
_LOOK_FOR_ROOM_S = 5.0  # asking the cluster takes milliseconds
_GRACE_S = 10.0  # the dispatcher keeps the deadlines; whoever waits for it waits this much longer


@dataclass(frozen=True)
class WorkerResources:
    """How many worker processes, and what Ray reserves for each.

    Attributes:
        num_workers: Number of processes, at least 1. Those that do not fit wait, without holding up the others.
        cpus_per_worker: Logical CPUs of each; also the number of threads its numerical libraries start with.
        gpus_per_worker: GPUs of each; a fraction shares one GPU (and does not cap its memory).
    """

    num_workers: int
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be >= 1, but got {self.num_workers}")
        for name in ("cpus_per_worker", "gpus_per_worker"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise ValueError(f"{name} must be >= 0, but got {value}")

    def __str__(self) -> str:
        """Say it for people."""
        gpus = f" and {self.gpus_per_worker:g} GPU" if self.gpus_per_worker else ""
        return f"{self.num_workers} worker(s) of {self.cpus_per_worker:g} CPU{gpus}"


class WorkerPool:
    """Worker processes (Ray actors) that outlive a grid.

    Inside a placement group (a Tune trial's) the workers are part of it. A worker that dies is replaced. While a pool
    is open, this process keeps the memory it frees (see ``process/heap.py``). Use it as a context manager, or
    ``close()`` it.

    Attributes:
        resources: How many workers there are to be, and what each gets.
        dispatcher: Who works on what. For grids.
    """

    def __init__(
        self,
        resources: WorkerResources,
        *,
        grow_to: int | None = None,
        start_timeout_s: float = 300.0,
        setup: Callable[[], None] | None = None,
    ) -> None:
        """Ask for the workers, and do not wait for them.

        Args:
            resources: How many workers, and what each gets.
            grow_to: How many workers there may be in all where the cluster (in a placement group: that) has room for
                more than ``resources`` asks for; looked at after rounds. None: no more.
            start_timeout_s: How long there may be no worker at all before whoever waits for one gets a SimulationError.
            setup: Runs once in every worker process, before anything else.
        """
        self.resources = resources
        self.start_timeout_s = start_timeout_s
        self._grow_to, self._grown_at = grow_to, time.monotonic()
        size = (resources.cpus_per_worker, resources.gpus_per_worker)
        # Now, because what comes later is asked from the dispatcher's thread, which belongs to no task.
        group = get_current_placement_group()
        self._room = partial(count_fitting, *size, group)
        self.dispatcher = Dispatcher(
            _worker_factory(resources, group, setup),
            resources.num_workers,
            start_timeout_s,
            StartWatch(partial(describe_capacity, resources.num_workers, *size, group)).explain,
        )
        # A pool that is forgotten, not closed, gives its workers back all the same.
        self._stop = weakref.finalize(self, _stop, self.dispatcher)
        self._stop.atexit = False  # Ray ends the workers with their driver
        driver_heap.keep()

    def run(self, function: Callable[..., Any], *args: Any, timeout_s: float, max_tries: int = 3) -> Any:
        """Run a function on a free worker and return its result.

        Args:
            function: Anything that pickles. It may run more than once: again elsewhere if its worker dies.
            args: Its arguments. Object references among them are resolved.
            timeout_s: How long to wait at most, from now.
            max_tries: How many workers may die over it.

        Raises:
            DeadlineExceededError: It took longer; its worker was killed and replaced.
            WorkerDiedError: ``max_tries`` workers died over it.
            SimulationError: No worker could start, or the pool was closed.
        """
        answer: Future[None] = Future()
        result: list[Any] = [None]

        def start(actor: Any) -> Any:
            result[0], finished = actor.call.options(num_returns=2).remote(function, *args)
            return finished

        name = f"the call of {getattr(function, '__qualname__', repr(function))}"
        deadline = time.monotonic() + timeout_s
        job = Job(start, answer.set_result, answer.set_exception, name, max_tries=max_tries, deadline=deadline)
        self.dispatcher.submit(job)
        try:
            answer.result(timeout_s + _GRACE_S)
            return ray.get(result[0], timeout=max(0.0, deadline - time.monotonic()) + _GRACE_S)
        except GetTimeoutError as error:
            raise DeadlineExceededError(f"the result of {name} did not arrive within {timeout_s:g} s") from error
        finally:
            self.dispatcher.withdraw(job)  # nothing to withdraw unless we were interrupted

    def follow_cluster(self) -> None:
        """Add workers where room has come free, up to ``grow_to``. For grids, after a round; does not block."""
        if self._grow_to is None or time.monotonic() < self._grown_at + _LOOK_FOR_ROOM_S:
            return
        self._grown_at = time.monotonic()
        self.dispatcher.grow(self._room, self._grow_to)

    def close(self) -> None:
        """Kill the workers. Whoever waits for work gets a SimulationError. Idempotent; Ray itself stays up."""
        self._stop()
        self.dispatcher.join(_CLOSE_TIMEOUT_S)

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pool."""
        self.close()


def _stop(dispatcher: Dispatcher) -> None:
    dispatcher.stop()
    driver_heap.let_go()


def _worker_factory(
    resources: WorkerResources, group: PlacementGroup | None, setup: Callable[[], None] | None
) -> Callable[[], Any]:
    """Return a function that starts one worker actor, from any thread, where the calling thread would."""
    num_threads = str(max(1, int(resources.cpus_per_worker)))
    thread_counts = {name: num_threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    options: dict[str, Any] = {
        "num_cpus": resources.cpus_per_worker,
        "num_gpus": resources.gpus_per_worker,
        "max_restarts": 0,  # the dispatcher replaces dead workers itself
        "concurrency_groups": CONCURRENCY_GROUPS,
        "runtime_env": {"env_vars": thread_counts | heap_settings()},  # libraries read them as they start
    }
    context = ray.get_runtime_context()
    if group is not None and context.should_capture_child_tasks_in_placement_group:
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group)
    actor_class = ray.remote(**options)(Worker)
    return lambda: actor_class.remote(setup)
