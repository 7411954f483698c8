"""The worker process: a Ray actor that runs lots of clients through a Flower ClientApp.

Its methods run in three threads: ``run`` and ``call`` one after another in the first, ``hold`` in the last, all others
in the second, so that the driver can take clients back from a worker that is busy, and save what is done from one that
hangs.
"""

import gc
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from ray import cloudpickle

from ..wire.arrays import share
from ..wire.lots import AppRef, Lot, Order, Report, Task
from ..wire.messages import APP_NOT_LOADED, APP_RAISED, message_for, template_of
from ..wire.on_demand import serialise_on_demand
from ..wire.packing import unpack
from ..wire.quick_records import make_records_quickly
from ..wire.runs import identify
from .belongings import Belongings
from .heap import give_freed_memory_back
from .running_mean import RunningMean
from .shift import Shift

CONCURRENCY_GROUPS = {"control": 1, "copies": 1}
"""Ray's concurrency groups: of the methods that answer while clients run, and of the one that fetches copies."""

_APPS_KEPT = 4  # a pool serves one grid after another: the apps of long finished ones must not pile up
_SMALL_MEAN_BYTES = 64_000  # a mean that small travels with the report, instead of waiting to be asked for


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _control(method: _Method) -> _Method:
    beside: _Method = ray.method(concurrency_group="control")(method)
    return beside


def _copies(method: _Method) -> _Method:
    beside: _Method = ray.method(concurrency_group="copies")(method)
    return beside


class Worker:
    """Runs client apps and other functions, one at a time. Made a Ray actor by the pool."""

    def __init__(self, setup: Callable[[], None] | None) -> None:
        """Run ``setup`` before anything else."""
        serialise_on_demand()
        make_records_quickly()
        if setup is not None:
            setup()
        self._apps: OrderedDict[str, ClientApp] = OrderedDict()
        self._shifts: dict[int, Shift] = {}
        self._parcels: dict[int, list[Any]] = {}
        self._means: dict[str, RunningMean] = {}
        self._held: dict[str, Any] = {}
        self._lock = threading.Lock()

    def ready(self) -> str:
        """Return the id of the Ray node this worker is on, as soon as it is up."""
        node_id: str = ray.get_runtime_context().get_node_id()
        return node_id

    def call(self, function: Callable[..., Any], *args: Any) -> tuple[Any, None]:
        """Run a function. Returns (its result, nothing): the second is to wait for.

        What is waited for comes last, here and in :meth:`hand_over`: Ray stores results in their order, so that it
        fails if one of the others cannot be pickled.
        """
        return function(*args), None

    def run(self, lot: Lot, *large_contents: RecordDict) -> Report | None:
        """Run a lot's clients.

        Args:
            lot: The lot.
            large_contents: Contents of messages that are not in the lot itself.

        Returns:
            The report on those that ran here, None if the lot was closed from outside.
        """
        shift = Shift(lot, self._mean(lot.order))
        with self._lock:
            self._shifts[lot.lot_id] = shift
        belongings, template = Belongings(lot, large_contents), template_of(lot.order)
        contents = [*map(unpack, lot.small_contents), *large_contents]
        while (position := shift.start_next()) is not None:
            task = lot.task(position)
            message = message_for(task, template, contents[task.content])
            try:
                open_state = belongings.state_of(task)
            except ray.exceptions.RayError as error:
                shift.record_lost(position, type(error).__name__)
                error.__traceback__ = None  # its frames hold the lot, and it in a circle, until some collection
                continue
            reply, state, seconds = self._process(lot.order, task, message, open_state)
            try:
                shift.record(position, reply, state, seconds, belongings.readable_by(task) if state else {})
            except Exception as error:  # it cannot be pickled
                shift.record(position, _refused(message, APP_RAISED, error), None, seconds, {})
        return self.close(lot.lot_id)

    # What the driver asks for while clients run.

    @_control
    def take_back(self, lot_id: int) -> list[int] | None:
        """Give up half of the clients that wait. Returns their positions in the lot, None if it is not running."""
        shift = self._shifts.get(lot_id)
        return None if shift is None else shift.take_back()

    @_control
    def running(self, lot_id: int) -> tuple[int, float] | None:
        """Return the position of the client that runs now and its seconds until now, None if none does."""
        shift = self._shifts.get(lot_id)
        return None if shift is None else shift.running()

    @_control
    def close(self, lot_id: int) -> Report | None:
        """End a lot before its last client is done; that one is forgotten. Returns the report, None if it is over."""
        shift = self._shifts.get(lot_id)
        closed = None if shift is None else shift.close()
        if shift is None or closed is None:
            return None
        report, parcels = closed
        with self._lock:
            del self._shifts[lot_id]
            if parcels:
                self._parcels[lot_id] = parcels
        if shift.mean is not None and report.merged and shift.mean.nbytes <= _SMALL_MEAN_BYTES:
            report.mean = self.take_mean(shift.lot.order.wave_id)[0]
        return report

    @_control
    def hand_over(self, lot_id: int) -> list[Any]:
        """Return a lot's parcels, and None after them."""
        with self._lock:
            return [*self._parcels.pop(lot_id), None]

    @_control
    def take_mean(self, wave_id: str) -> tuple[RecordDict, None]:
        """Return the mean that a wave's replies were merged into, and None after it."""
        with self._lock:
            mean = self._means.pop(wave_id)
        return mean.content(), None

    @_control
    def forget(self, wave_id: str) -> None:
        """Drop a wave's mean: nobody will ask for it."""
        with self._lock:
            self._means.pop(wave_id, None)

    @_copies
    def hold(self, parcels: list[tuple[str, Any]], release: list[str]) -> None:
        """Keep copies of objects on this node, and let others go: the states of clients that live on another node."""
        for name in release:
            self._held.pop(name, None)
        for name, reference in parcels:
            self._held[name] = ray.get(reference)

    @_copies
    def hand_on(self, name: str) -> Any:
        """Return what is held under a name, and hold it no more."""
        return self._held.pop(name)

    # Inside.

    def _mean(self, order: Order) -> RunningMean | None:
        if order.rule is None:
            return None
        with self._lock:
            return self._means.setdefault(order.wave_id, RunningMean(order.rule))

    def _process(
        self, order: Order, task: Task, message: Message, open_state: Callable[[], RecordDict]
    ) -> tuple[Message, RecordDict | None, float]:
        """Pass a message through the client app.

        Returns:
            The reply (an error reply if the app failed), the client's new state (None: as before), seconds in the app.
        """
        identify(order.run_id, task.node_id)
        started = time.perf_counter()
        try:
            client_app = self._load(order.app)
        except Exception as error:
            return _refused(message, APP_NOT_LOADED, error), None, 0.0
        try:
            context = order.context(task.node_id, open_state())
            started = time.perf_counter()
            reply = client_app(message, context)
            seconds = time.perf_counter() - started
            _check_reply(reply, message, context, order)
            state = share(context.state) if context.state or task.state else None
        except Exception as error:
            seconds = time.perf_counter() - started
            return _refused(message, APP_RAISED, error), None, seconds
        return reply, state, seconds

    def _load(self, app: AppRef) -> ClientApp:
        if app.digest not in self._apps:
            give_freed_memory_back()
            self._apps[app.digest] = cloudpickle.loads(ray.get(app.pickled[0]))
            if len(self._apps) > _APPS_KEPT:
                self._apps.popitem(last=False)
            gc.freeze()  # what the app's modules made stays: a collection need not look at it again and again
        self._apps.move_to_end(app.digest)
        return self._apps[app.digest]


def _check_reply(reply: object, message: Message, context: Context, order: Order) -> None:
    if not isinstance(reply, Message):
        raise TypeError(f"a ClientApp must return a Message, but returned {type(reply).__name__}")
    if reply.metadata.reply_to_message_id != message.metadata.message_id:
        raise ValueError("a ClientApp must return Message(..., reply_to=message), but its reply is to another message")
    if context.run_config != order.run_config:
        raise ValueError("a ClientApp must not change context.run_config")


def _refused(message: Message, code: int, error: Exception) -> Message:
    trace = "".join(traceback.format_exception(error)[-4:])
    return Message(Error(code, f"{type(error).__name__}: {error}\n{trace}"), reply_to=message)
