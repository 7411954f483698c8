"""Who works on what: one thread that hands jobs to free workers and answers for deadlines and deaths.

Everything that happens (a job comes in, a worker is up, work is over, a worker died) is an event in one queue, and only
the dispatcher's thread acts on events: its state needs no lock, and nothing is polled. The thread sleeps until the next
event or the next deadline.
"""

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from .errors import DeadlineExceededError, NoWorkerError, SimulationError, WorkerDiedError
from .jobs import Deadlines, Job

logger = logging.getLogger(__name__)

_DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)
_STARTS_PER_WORKER = 2  # a set-up function that raises does so every time


@dataclass(eq=False)
class _Slot:
    """One worker's place: its actor, and what that is doing."""

    actor: Any
    up: bool = False
    was_up: bool = False
    job: Job | None = None
    num_calls: int = 0

    @property
    def idle(self) -> bool:
        return self.up and self.job is None and self.num_calls == 0


@dataclass
class _Call:
    """A function call whose result reference its caller waits for."""

    send: Callable[[Any], tuple[Any, Any]]
    answer: "Future[Any]" = field(default_factory=Future)


class Dispatcher:
    """Keeps workers up and jobs running. Its public methods may be called from any thread and do not block."""

    def __init__(
        self, start_worker: Callable[[], Any], num_workers: int, start_timeout_s: float, describe: Callable[[], str]
    ) -> None:
        """Start the thread and ask for all workers.

        Args:
            start_worker: Returns a new actor.
            num_workers: How many to keep.
            start_timeout_s: How long there may be no worker at all.
            describe: Says what was asked for and what there is, for the error message.
        """
        self._start_worker, self._describe = start_worker, describe
        self._start_timeout_s = start_timeout_s
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._slots: list[_Slot] = []
        self._waiting: deque[Job] = deque()
        self._calls: deque[_Call] = deque()
        self._deadlines = Deadlines()
        self._starts_left = num_workers * _STARTS_PER_WORKER
        self._none_up_since = time.monotonic()
        self._last_death = ""
        self._stopped = False
        self._gate = threading.Lock()  # no event may slip in behind the last one
        self._gate_closed = False
        for _ in range(num_workers):
            self._add_worker()
        self._thread = threading.Thread(target=self._loop, name="fedray-dispatcher", daemon=True)
        self._thread.start()

    # What others ask for, from any thread.

    def submit(self, job: Job) -> None:
        """Have a worker do a job, as soon as one is free."""
        if not self._post(partial(self._submit, job)):
            job.over = True
            job.on_failed(SimulationError(f"the worker pool was closed before it could run {job.name}"))

    def withdraw(self, job: Job) -> None:
        """Forget a job without a word. A worker that is at it is killed and replaced."""
        self._post(partial(self._end, job))

    def call(self, send: Callable[[Any], tuple[Any, Any]]) -> "Future[Any]":
        """Send something to a worker at once, an idle one if there is one, and answer with its reference."""
        call = _Call(send)
        if not self._post(partial(self._calls.append, call)):
            call.answer.set_exception(SimulationError("the worker pool was closed before it could run a call"))
        return call.answer

    def stop(self) -> None:
        """Fail what is not done, kill the workers, end the thread. Idempotent."""
        self._post(self._stop)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _post(self, event: Callable[[], None]) -> bool:
        with self._gate:
            if not self._gate_closed:
                self._events.put(event)
            return not self._gate_closed

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
            event = self._events.get(timeout=self._time_to_deadline_s())
        except queue.Empty:
            pass
        else:
            event()
        self._expire()
        self._assign()

    def _submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._deadlines.add(job.deadline, job, None)

    def _assign(self) -> None:
        """Give waiting work to workers that can take it."""
        up = [slot for slot in self._slots if slot.up]
        if not up:
            return
        while self._calls:
            self._send_call(min(up, key=lambda slot: (slot.job is not None) + slot.num_calls))
        idle = (slot for slot in up if slot.idle)
        while self._waiting:
            if self._waiting[0].over:
                self._waiting.popleft()
            elif (slot := next(idle, None)) is not None:
                self._send_job(slot, self._waiting.popleft())
            else:
                break

    def _send_job(self, slot: _Slot, job: Job) -> None:
        job.tries += 1
        try:
            finished = job.start(slot.actor)
        except Exception as error:  # what was to be sent cannot be pickled
            self._end(job, error)
            self._post(lambda: None)  # the worker is still free: look again
            return
        slot.job = job
        if job.run_timeout_s is not None:
            self._deadlines.add(time.monotonic() + job.run_timeout_s, job, job.tries)
        self._watch(finished, partial(self._job_finished, slot, job))

    def _send_call(self, slot: _Slot) -> None:
        call = self._calls.popleft()
        try:
            result, finished = call.send(slot.actor)
        except Exception as error:
            call.answer.set_exception(error)
            return
        slot.num_calls += 1
        self._watch(finished, partial(self._call_finished, slot))
        call.answer.set_result(result)

    def _watch(self, ref: Any, handle: Callable[["Future[Any]"], None]) -> None:
        # The callback runs on a thread of Ray's that must not be held up, hence the detour through the queue.
        ref.future().add_done_callback(lambda future: self._post(partial(handle, future)))

    def _job_finished(self, slot: _Slot, job: Job, future: "Future[Any]") -> None:
        if slot.job is not job:
            return  # withdrawn, or past its deadline
        slot.job = None
        error = future.exception()
        if error is None:
            job.over = True
            job.on_done(future.result())
        elif not _is_death(error):
            self._end(job, error)
        else:
            self._lose(slot, error)
            if job.tries < job.max_tries:
                self._waiting.appendleft(job)
            else:
                died = f"{job.name}: its worker died, {job.tries} of {job.max_tries} times"
                self._end(job, WorkerDiedError(f"{died} (last: {_summary(error)})"))

    def _call_finished(self, slot: _Slot, future: "Future[Any]") -> None:
        slot.num_calls -= 1
        if (error := future.exception()) is not None and _is_death(error):
            self._lose(slot, error)

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        """End a job that is not over, with an error or (None) without a word."""
        if job.over:
            return
        job.over = True
        for slot in self._slots:
            if slot.job is job:  # no other way to interrupt it
                slot.job = None
                self._replace(slot)
                break
        if error is not None:
            job.on_failed(error)

    # Workers.

    def _add_worker(self) -> None:
        self._starts_left -= 1
        slot = _Slot(self._start_worker())
        self._slots.append(slot)
        self._check(slot)

    def _check(self, slot: _Slot) -> None:
        """Have a worker say that it is up; until then it gets no work."""
        slot.up = False
        if slot.was_up:
            self._none_up_since = time.monotonic()
        self._watch(slot.actor.ready.remote(), partial(self._checked, slot))

    def _checked(self, slot: _Slot, future: "Future[Any]") -> None:
        if slot not in self._slots or self._stopped:
            return
        if (error := future.exception()) is not None:
            self._lose(slot, error)
            return
        if not slot.was_up:
            self._starts_left += 1
        slot.up = slot.was_up = True

    def _lose(self, slot: _Slot, error: BaseException) -> None:
        """Replace a worker that died, and find out who died with it."""
        if slot not in self._slots:
            return
        self._last_death = _summary(error)
        logger.warning("A worker died and is replaced: %s", self._last_death)
        self._replace(slot)
        if slot.was_up:  # with its node perhaps: do not spend a message's tries on finding out one by one
            for other in self._slots:
                if other.idle:
                    self._check(other)

    def _replace(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        ray.kill(slot.actor)
        if slot.was_up:
            self._none_up_since = time.monotonic()
        if self._starts_left > 0:
            self._add_worker()

    # Deadlines.

    def _time_to_deadline_s(self) -> float | None:
        next_one = self._deadlines.next()
        if self._waiting or self._calls:
            next_one = min(next_one, self._start_deadline())
        if math.isinf(next_one):
            return None
        return min(max(0.0, next_one - time.monotonic()), threading.TIMEOUT_MAX)

    def _start_deadline(self) -> float:
        """When to give up on the workers: never while one is up."""
        if any(slot.up for slot in self._slots):
            return math.inf
        return self._none_up_since + self._start_timeout_s if self._slots else -math.inf

    def _expire(self) -> None:
        now = time.monotonic()
        for job, limit in self._deadlines.pop_missed(now):
            self._end(job, DeadlineExceededError(f"{job.name} was not finished {limit}"))
        if (self._waiting or self._calls) and self._start_deadline() <= now:
            self._fail_all(NoWorkerError(self._no_worker_message()))

    def _no_worker_message(self) -> str:
        why = f"within {self._start_timeout_s:g} s" if self._slots else f"(last cause: {self._last_death})"
        return f"no worker could start {why}: {self._describe()}"

    def _fail_all(self, error: SimulationError) -> None:
        jobs, self._waiting = list(self._waiting), deque()
        jobs += [slot.job for slot in self._slots if slot.job is not None]
        calls, self._calls = list(self._calls), deque()
        for slot in self._slots:
            slot.job = None
        for job in jobs:
            self._end(job, error)
        for call in calls:
            call.answer.set_exception(error)

    def _stop(self, error: SimulationError | None = None) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._fail_all(error or SimulationError("the worker pool was closed while work was under way"))
        slots, self._slots = self._slots, []
        if ray.is_initialized():
            for slot in slots:
                ray.kill(slot.actor)


def _is_death(error: BaseException) -> bool:
    """Tell a worker's death from an error that the work itself raised (which may well be one of Ray's)."""
    return isinstance(error, _DEATHS) and not isinstance(error, RayTaskError)


def _summary(error: BaseException) -> str:
    """One line of what Ray says about a death: the exception itself if the worker's set-up raised one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[-1] if 'creation task' in lines[0] else lines[0]}"
