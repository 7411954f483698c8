"""Who works on what: one thread that hands work to free workers and answers for deadlines and deaths.

Everything that happens (work comes in, a worker is up, work is over, a worker died) is an event in one queue, and only
the dispatcher's thread acts on events: its state needs no lock, and nothing is polled. The thread sleeps until the next
event or the next timer.
"""

import logging
import math
import queue
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..errors import DeadlineExceededError, NoWorkerError, SimulationError, WorkerDiedError
from .crew import Crew, is_death, summary
from .jobs import Job, Source, WorkerSlot
from .timers import Timer, Timers

logger = logging.getLogger(__name__)


class Dispatcher:
    """Keeps workers up and work running."""

    def __init__(
        self, start_worker: Callable[[], Any], num_workers: int, start_timeout_s: float, describe: Callable[[], str]
    ) -> None:
        """Start the thread and ask for all workers.

        Args:
            start_worker: Returns a new actor.
            num_workers: How many to keep.
            start_timeout_s: How long there may be no worker at all.
            describe: Says why no worker is up yet, for the error message.
        """
        self._describe, self._start_timeout_s = describe, start_timeout_s
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._jobs: deque[Job] = deque()
        self._sources: list[Source] = []
        self._listeners: list[weakref.WeakMethod[Callable[[WorkerSlot], None]]] = []
        self._timers = Timers()
        self._stopped = False
        self._gate = threading.Lock()  # no event may slip in behind the last one
        self._gate_closed = False
        self._crew = Crew(start_worker, num_workers, self._watch, self._worker_gone)
        self._thread = threading.Thread(target=self._loop, name="fedray-dispatcher", daemon=True)
        self._thread.start()

    # What others ask for, from any thread. None of it blocks.

    def submit(self, job: Job) -> None:
        """Have a worker do a job, as soon as one is free."""
        if not self.post(partial(self._submit, job)):
            job.end()
            job.on_failed(SimulationError(f"the worker pool was closed before it could run {job.name}"))

    def withdraw(self, job: Job) -> None:
        """Forget a job without a word. A worker that is at it is killed and replaced."""
        self.post(partial(self.end_job, job))

    def serve(self, source: Source) -> None:
        """Have workers do what a source gives them, until it is :meth:`retire`d."""
        if not self.post(partial(self._serve, source)):
            source.fail(SimulationError("the worker pool was closed before it could run the messages"))

    def grow(self, room: Callable[[], int], limit: int) -> None:
        """Add workers if there is room for more, up to a limit.

        Args:
            room: Says how many more could start now.
            limit: How many workers there may be in all.
        """
        self.post(lambda: self._crew.grow(room(), limit))

    def stop(self) -> None:
        """Fail what is not done, kill the workers, end the thread. Idempotent."""
        self.post(self._stop)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def post(self, event: Callable[[], None]) -> bool:
        """Have something done on the dispatcher's thread. Returns False if that has ended."""
        with self._gate:
            if not self._gate_closed:
                self._events.put(event)
            return not self._gate_closed

    # What sources ask for, on the dispatcher's thread.

    def is_up(self, slot: WorkerSlot) -> bool:
        """Whether a worker is still there."""
        return slot in self._crew.slots

    def replace(self, slot: WorkerSlot) -> None:
        """Kill a worker and start another."""
        self._crew.replace(slot)

    def workers_by_node(self) -> dict[str, list[WorkerSlot]]:
        """Return the workers that are up, by Ray node."""
        nodes: dict[str, list[WorkerSlot]] = defaultdict(list)
        for slot in self._crew.up:
            nodes[slot.ray_node].append(slot)
        return nodes

    def tell_of_lost_workers(self, listener: "weakref.WeakMethod[Callable[[WorkerSlot], None]]") -> None:
        """Call a method with every worker that is gone from now on, as long as its object lives."""
        self._listeners = [other for other in self._listeners if other() is not None] + [listener]

    def retire(self, source: Source) -> None:
        """Ask a source for no more work."""
        if source in self._sources:
            self._sources.remove(source)

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        """Do something at a time (``time.monotonic()``)."""
        return self._timers.at(when, action)

    def ask(
        self, slot: WorkerSlot, references: Sequence[Any], then: Callable[[list[Any] | BaseException], None]
    ) -> None:
        """Have a function called with the values of a worker's answers, or with what went wrong."""
        values: list[Any] = [None] * len(references)
        missing = set(range(len(references)))

        def arrived(index: int, future: "Future[Any]") -> None:
            if not missing:
                return  # failed before
            if (error := future.exception()) is not None:
                missing.clear()
                if is_death(error):
                    self._crew.lose(slot, error)
                then(error)
                return
            values[index] = future.result()
            missing.discard(index)
            if not missing:
                then(values)

        for index, reference in enumerate(references):
            self._watch(reference, partial(arrived, index))

    def end_job(self, job: Job, error: BaseException | None = None) -> None:
        """End a job that is not over, with an error or (None) without a word. A worker that is at it is killed."""
        if job.over:
            return
        job.end()
        for slot in self._crew.slots:
            if slot.job is job:  # no other way to interrupt it
                slot.job = None
                self._crew.replace(slot)
                break
        if error is not None:
            job.on_failed(error)

    # All below runs on the dispatcher's thread.

    def _loop(self) -> None:
        try:
            while not self._stopped:
                self._step()
        except Exception as error:  # our own bug, or Ray was shut down: nobody may wait for ever because of it
            logger.exception("The dispatcher failed.")
            self._stop(SimulationError(f"the dispatcher failed: {type(error).__name__}: {error}"))
        with self._gate:
            self._gate_closed = True
        while not self._events.empty():
            self._events.get()()
        self._fail_all(SimulationError("the worker pool was closed while work was waiting"))

    def _step(self) -> None:
        try:
            event = self._events.get(timeout=self._seconds_to_next_timer())
        except queue.Empty:
            pass
        else:
            event()
        now = time.monotonic()
        for action in self._timers.due(now):
            action()
        if self._waiting and self._start_deadline() <= now:
            self._fail_all(NoWorkerError(self._no_worker_message()))
        self._assign()

    @property
    def _waiting(self) -> bool:
        return bool(self._jobs or self._sources)

    def _submit(self, job: Job) -> None:
        self._jobs.append(job)
        late = DeadlineExceededError(f"{job.name} was not finished by its deadline")
        job.timer = self.at(job.deadline, partial(self.end_job, job, late))

    def _serve(self, source: Source) -> None:
        self._sources.append(source)
        source.begin()

    def _assign(self) -> None:
        """Give waiting work to workers that can take it."""
        if not self._waiting:
            return
        idle, without_work = self._crew.idle, False
        for place, slot in enumerate(idle):
            if (job := self._next_job(slot, len(idle) - place)) is None:
                without_work = True  # a source may leave out this worker, and have work for the next one
            else:
                self._send_job(slot, job)
        if without_work:
            for source in list(self._sources):
                source.worker_idle()

    def _next_job(self, slot: WorkerSlot, num_idle: int) -> Job | None:
        while self._jobs:
            if not (job := self._jobs.popleft()).over:
                return job
        for source in self._sources:
            if (piece := source.next_job(slot, num_idle)) is not None:
                return piece
        return None

    def _send_job(self, slot: WorkerSlot, job: Job) -> None:
        job.tries += 1
        try:
            finished = job.start(slot.actor)
        except Exception as error:  # what was to be sent cannot be pickled
            self.end_job(job, error)
            self.post(lambda: None)  # the worker is still free: look again
            return
        slot.job = job
        self._watch(finished, partial(self._job_finished, slot, job))

    def _watch(self, reference: Any, handle: Callable[["Future[Any]"], None]) -> None:
        # The callback runs on a thread of Ray's that must not be held up, hence the detour through the queue.
        reference.future().add_done_callback(lambda future: self.post(partial(handle, future)))

    def _job_finished(self, slot: WorkerSlot, job: Job, future: "Future[Any]") -> None:
        if slot.job is not job:
            return  # withdrawn, or past its deadline
        slot.job = None
        error = future.exception()
        if error is None:
            job.end()
            job.on_done(future.result())
        elif not is_death(error):
            self.end_job(job, error)
        else:
            self._crew.lose(slot, error)
            if job.tries < job.max_tries:
                self._jobs.appendleft(job)
            else:
                died = f"{job.name}: its worker died, {job.tries} of {job.max_tries} times"
                self.end_job(job, WorkerDiedError(f"{died} (last: {summary(error)})"))

    def _worker_gone(self, slot: WorkerSlot) -> None:
        for source in list(self._sources):
            source.worker_lost(slot)
        for listener in self._listeners:
            if (method := listener()) is not None:
                method(slot)

    def _seconds_to_next_timer(self) -> float | None:
        next_one = self._timers.next()
        if self._waiting:
            next_one = min(next_one, self._start_deadline())
        if math.isinf(next_one):
            return None
        return min(max(0.0, next_one - time.monotonic()), threading.TIMEOUT_MAX)

    def _start_deadline(self) -> float:
        """When to give up on the workers: never while one is up."""
        if any(slot.up for slot in self._crew.slots):
            return math.inf
        return self._crew.none_up_since + self._start_timeout_s if self._crew.slots else -math.inf

    def _no_worker_message(self) -> str:
        if not self._crew.slots:  # they came and went, so there was room for them
            return f"no worker could start, each one died as it did (the last: {self._crew.last_death})"
        return f"no worker could start within {self._start_timeout_s:g} s: {self._describe()}"

    def _fail_all(self, error: SimulationError) -> None:
        jobs, self._jobs = list(self._jobs), deque()
        jobs += [slot.job for slot in self._crew.slots if slot.job is not None]
        sources, self._sources = self._sources, []
        for slot in self._crew.slots:
            slot.job = None
        for source in sources:
            source.fail(error)
        for job in jobs:
            self.end_job(job, error)

    def _stop(self, error: SimulationError | None = None) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._fail_all(error or SimulationError("the worker pool was closed while work was under way"))
        self._crew.end()
