"""Messages that were sent together, on their way through the workers: cut into lots, balanced, merged, saved, counted.

A wave lives on the dispatcher's thread. A lot goes to an idle worker and is at least some milliseconds of work, so that
calls cost little; an idle worker for which nothing is left gets clients that wait on another one, so that a bad guess
costs little too. What a client left behind counts only once it has reached the driver's node (replies, means) or two
nodes (states): until then a lost worker means that its clients run again, from the states they had before.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ray.exceptions import RayError, RayTaskError

from ..errors import DeadlineExceededError, SimulationError, WorkerDiedError
from ..wire.lots import NO_STATE, Order, Report
from ..workers.dispatch import Dispatcher
from ..workers.jobs import Job, WorkerSlot
from ..workers.timers import Timer
from .balance import Estimates
from .delivery import Delivery, Parcel, StateRef
from .flight import Flight, pack_lot
from .ledger import Ledger
from .means import HeldMeans
from .states import ClientStates
from .timing import RoundClock
from .unread import Unread

_LOOK_AGAIN_S = 0.1  # a worker is behind its estimate, or not yet at its lot: when to ask it for clients again
_CONTROL_TIMEOUT_S = 10.0  # a worker that holds Python's global lock cannot answer; it is killed then

_Answer = TypeVar("_Answer")


class Wave:
    """Deliveries with one order. All methods but the constructor run on the dispatcher's thread."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        order: Order,
        deliveries: list[Delivery],
        *,
        states: ClientStates,
        estimates: Estimates,
        clock: RoundClock,
        on_finished: Callable[[list[Delivery], bool], None],
        lot_limit_s: float,
        deadline: float,
        reply_timeout_s: float | None,
        max_tries: int,
    ) -> None:
        """Hold the deliveries until the dispatcher asks for work.

        Args:
            dispatcher: Of the pool.
            order: What the messages have in common.
            deliveries: The messages, for distinct clients.
            states: The clients' states.
            estimates: The clients' times.
            clock: Takes the times of the round.
            on_finished: Gets deliveries as soon as they are finished, and whether they are the last.
            lot_limit_s: How long a lot may take: replies come when it is over.
            deadline: ``time.monotonic()`` at which unfinished messages are answered with an error.
            reply_timeout_s: How long a worker may take for one client.
            max_tries: How many workers may die over one client.
        """
        self._dispatcher, self.order = dispatcher, order
        self._states, self._estimates, self._clock = states, estimates, clock
        self._reply_timeout_s, self._max_tries = reply_timeout_s, max_tries
        self._ledger = Ledger(deliveries, estimates, on_finished)
        self._means = HeldMeans(order.wave_id, self._ledger)
        self._unread = Unread(dispatcher, self._ledger, states, max_tries=max_tries, describe=self._name)
        self._flights: dict[WorkerSlot, Flight] = {}
        self._num_asked: dict[WorkerSlot, int] = {}  # answers of workers that are on their way
        self._closing: dict[WorkerSlot, Flight] = {}  # to be killed as soon as what they have done is saved
        self._concluding: Callable[[], None] | None = None
        self._lot_limit_s, self._deadline = lot_limit_s, deadline
        self._timer: Timer | None = None
        self._look_timer: Timer | None = None

    # What the dispatcher asks of a source.

    def begin(self) -> None:
        """Set the deadline's timer."""
        self._timer = self._dispatcher.at(self._deadline, self._expire)

    def next_job(self, slot: WorkerSlot, num_idle: int) -> Job | None:
        """Cut a lot for an idle worker."""
        if self._concluding or slot in self._closing or self._means.is_fetched(slot) or self._unread.leaves_out(slot):
            return None
        deliveries = self._ledger.next_lot(num_idle, self._lot_limit_s, partial(self._distance, slot))
        return self._fly(slot, deliveries) if deliveries else None

    def worker_idle(self) -> None:
        """Take clients back from the worker that is busy for longest; if there are none, fetch the means of others."""
        if self._concluding or self._ledger.any_waiting:
            return
        rich = [flight for flight in self._flights.values() if not flight.exhausted and len(flight.deliveries) > 1]
        if not rich:
            self._fetch_from_idle()
        if not (unasked := [flight for flight in rich if not flight.asked]):
            return
        longest = max(unasked, key=Flight.seconds_left)
        if longest.seconds_left() < _LOOK_AGAIN_S / 10:
            self._look_later()
            return
        longest.asked = True
        self._ask(longest.slot, [longest.slot.actor.take_back.remote(longest.lot_id)], partial(self._taken, longest))

    def worker_lost(self, slot: WorkerSlot) -> None:
        """Run again what was only on that worker."""
        self._unread.worker_lost(slot)
        self._means.lose(slot)
        self._settle()

    def fail(self, error: SimulationError) -> None:
        """Answer everything with an error."""
        self._ledger.fail(self._ledger.unfinished(), error)
        self._end()

    # What the grid asks for.

    def conclude(self, then: Callable[[], None]) -> None:
        """Save what is done, forget the rest, and call ``then``."""
        if self._concluding is not None or self._ledger.done:
            then()
            return
        self._concluding = then
        for flight in list(self._flights.values()):
            self._close(flight)
        self._settle()

    def abandon(self, message_ids: set[str]) -> None:
        """Forget messages. If none is left, a worker that is at one is killed and replaced."""
        self._ledger.forget(message_ids)
        if self._ledger.done:
            self._end()

    # Lots.

    def _fly(self, slot: WorkerSlot, deliveries: list[Delivery]) -> Job:
        flight = Flight(slot, deliveries)
        flight.job = Job(
            partial(self._send, flight),
            partial(self._landed, flight),
            partial(self._crashed, flight),
            name=f"{len(deliveries)} {self.order.message_type!r} message(s)",
        )
        self._flights[slot] = flight
        if self._reply_timeout_s is not None:
            self._watch_timeout(flight, self._reply_timeout_s)
        return flight.job

    def _send(self, flight: Flight, actor: Any) -> Any:
        lot, large_contents = pack_lot(flight, self.order, self._states)
        started = actor.run.remote(lot, *large_contents)
        self._clock.sent(flight.slot)
        return started

    def _landed(self, flight: Flight, report: Report | None) -> None:
        self._flights.pop(flight.slot, None)
        flight.end()
        if report is not None:  # else it was closed, and the report comes on its own
            flight.taken |= {*report.seconds, *report.left, *report.lost}
            self._take_in(flight, report)
        self._settle()

    def _crashed(self, flight: Flight, error: BaseException) -> None:
        """Run the lot's clients again, each alone: one of them may be the cause."""
        self._flights.pop(flight.slot, None)
        flight.end()
        deliveries = [flight.deliveries[position] for position in flight.left()]
        flight.taken |= set(flight.left())
        if not isinstance(error, WorkerDiedError):
            self._ledger.fail(deliveries, error)
        else:
            for delivery in deliveries:
                delivery.tries += 1
                if delivery.tries >= self._max_tries:
                    died = f"{self._name(delivery)}: its worker died, {delivery.tries} of {self._max_tries} times"
                    self._ledger.fail([delivery], WorkerDiedError(f"{died} ({error})"))
            self._ledger.run_alone(deliveries)
        self._settle()

    def _taken(self, flight: Flight, answer: list[Any] | BaseException) -> None:
        flight.asked = False
        if isinstance(answer, BaseException) or answer[0] is None:  # the lot is over, or has not begun
            self._look_later()
            return
        flight.exhausted = not answer[0]
        flight.taken |= set(answer[0])
        self._ledger.run_again(flight.deliveries[position] for position in sorted(answer[0]))

    # Reports.

    def _take_in(self, flight: Flight, report: Report) -> None:
        """Take what a lot's clients left behind, as soon as it is safe."""
        for position, seconds in report.seconds.items():
            self._estimates.note(flight.deliveries[position].node_id, seconds, flight.slot)
        self._ledger.learn()
        self._clock.landed(sum(report.seconds.values()), report.merge_s)
        self._ledger.run_again(flight.deliveries[position] for position in report.left)
        lost = {flight.deliveries[position]: reason for position, reason in report.lost.items()}
        self._unread.seek(flight.slot, lost)
        if report.num_parcels == 0:
            self._accept(flight, report, {})
            return
        handed = flight.slot.actor.hand_over.options(num_returns=report.num_parcels + 1).remote(flight.lot_id)
        needed = [handed[index] for index in report.large_replies.values()]  # states stay where they are

        def arrived(answer: list[Any] | BaseException) -> None:
            if isinstance(answer, BaseException):
                self._lose(flight, report)
            else:
                large = dict(zip(report.large_replies, answer, strict=False))
                report.replies.update(large)
                indexes = {index for index, _ in report.states.values()} - {NO_STATE[0]}
                self._secure(flight, report, {i: Parcel(handed[i], flight.slot.ray_node) for i in indexes})

        self._ask(flight.slot, [*needed, handed[-1]], arrived)

    def _secure(self, flight: Flight, report: Report, parcels: dict[int, Parcel]) -> None:
        """Wait for a second copy of the states: they count as soon as one lost node cannot lose them."""
        copied = self._states.copy(list(parcels.values()))
        if copied is None:
            self._accept(flight, report, parcels)
            return
        holder, held = copied

        def read(error: RayError | None) -> None:
            if error is None:
                self._accept(flight, report, parcels)
            else:
                self._lose(flight, report)

        def answered(answer: list[Any] | BaseException) -> None:
            if isinstance(answer, RayTaskError):  # the states were lost on their way, or the holder has lost its node
                self._states.read_here(list(parcels.values()), self._counted(flight.slot, read))
            elif isinstance(answer, BaseException):
                self._secure(flight, report, parcels)
            else:
                self._accept(flight, report, parcels)

        self._ask(flight.slot, [held], answered, of=holder)

    def _lose(self, flight: Flight, report: Report) -> None:
        """Run a lot's clients again. Its worker has to go: its mean may have parts of them."""
        self._dispatcher.replace(flight.slot)
        self._ledger.run_again(flight.deliveries[position] for position in report.seconds)

    def _accept(self, flight: Flight, report: Report, parcels: dict[int, Parcel]) -> None:
        for position, place in report.states.items():
            delivery = flight.deliveries[position]
            delivery.changes_state = True
            if place != NO_STATE:
                contents = tuple(flight.objects[number] for number in report.kept.get(position, ()))
                delivery.state = StateRef(parcels[place[0]], place[1], contents)
        single = [flight.deliveries[position] for position in report.replies]
        for delivery, reply in zip(single, report.replies.values(), strict=True):
            delivery.reply = reply
        self._ledger.finish(single)
        merged = [flight.deliveries[position] for position in report.merged]
        if report.mean is not None:
            self._ledger.finish_merged(merged, report.mean)
        elif merged and self._dispatcher.is_up(flight.slot):
            self._means.add(flight.slot, merged)
        else:
            self._ledger.run_again(merged)

    def _fetch_from_idle(self) -> None:
        """Fetch the means that idle workers hold, while others still work. One that gets more work begins another."""
        for slot in self._means.holders:
            if slot not in self._flights and slot not in self._num_asked:
                self._means.fetch(slot, self._ask)

    # Ends.

    def _settle(self) -> None:
        """Go on to what comes next, if nothing is on its way."""
        if self._num_asked or (self._flights and not self._concluding):
            return
        if self._ledger.any_waiting and not self._concluding:
            return
        for slot in self._means.holders:
            self._means.fetch(slot, self._ask)
        if self._num_asked:
            return
        if self._ledger.done or self._concluding:
            self._end()

    def _end(self) -> None:
        """Leave the dispatcher. Workers that are still at a lot are killed, means that wait are dropped."""
        if self._timer is not None:
            self._timer.cancel()
        self._dispatcher.retire(self)
        self._ledger.stop()
        flights, self._flights = list(self._flights.values()), {}
        for flight in flights:
            self._dispatcher.end_job(flight.job)
            flight.end()
        self._means.drop()
        then, self._concluding = self._concluding, None
        if then is not None:
            then()

    # Deadlines.

    def _expire(self) -> None:
        """Answer what is not finished by the messages' deadline with an error."""
        self.conclude(self._fail_late)

    def _fail_late(self) -> None:
        for delivery in self._ledger.unfinished():
            late = DeadlineExceededError(f"{self._name(delivery)} was not finished by its deadline")
            self._ledger.fail([delivery], late)

    def _watch_timeout(self, flight: Flight, seconds: float) -> None:
        def look() -> None:
            if self._flights.get(flight.slot) is flight and not self._concluding:
                running = flight.slot.actor.running.remote(flight.lot_id)
                self._ask(flight.slot, [running], partial(self._running, flight))

        flight.timer = self._dispatcher.at(time.monotonic() + seconds, look)

    def _running(self, flight: Flight, answer: list[Any] | BaseException) -> None:
        assert self._reply_timeout_s is not None
        if isinstance(answer, BaseException) or self._flights.get(flight.slot) is not flight:
            return
        position, seconds = answer[0] or (-1, 0.0)
        if seconds < self._reply_timeout_s:
            self._watch_timeout(flight, self._reply_timeout_s - seconds)
            return
        self._close(flight, flight.deliveries[position])

    def _close(self, flight: Flight, culprit: Delivery | None = None) -> None:
        """Save what a busy worker has done, then kill it. ``culprit`` fails, unless it made it after all."""

        def closed(answer: list[Any] | BaseException) -> None:
            report = None if isinstance(answer, BaseException) else answer[0]
            if report is not None:
                flight.taken |= {*report.seconds, *report.left, *report.lost}
                self._take_in(flight, report)
            if culprit is not None and flight.deliveries.index(culprit) not in flight.taken:
                flight.taken.add(flight.deliveries.index(culprit))
                limit = f"within {self._reply_timeout_s:g} s on a worker"
                self._ledger.fail([culprit], DeadlineExceededError(f"{self._name(culprit)} was not finished {limit}"))
            self._drop_flight(flight)

        self._closing[flight.slot] = flight
        self._dispatcher.at(time.monotonic() + _CONTROL_TIMEOUT_S, partial(self._kill, flight))
        self._ask(flight.slot, [flight.slot.actor.close.remote(flight.lot_id)], closed)

    def _drop_flight(self, flight: Flight) -> None:
        """Run the clients again of which nothing will be heard."""
        lost = flight.left()
        flight.taken |= set(lost)
        self._ledger.run_again(flight.deliveries[position] for position in lost)

    def _kill(self, flight: Flight) -> None:
        if self._closing.get(flight.slot) is flight:
            del self._closing[flight.slot]
            self._drop_flight(flight)
            if self._flights.get(flight.slot) is flight:
                del self._flights[flight.slot]
                self._dispatcher.end_job(flight.job)
                flight.end()

    # Helpers.

    def _ask(
        self,
        slot: WorkerSlot,
        references: list[Any],
        then: Callable[[list[Any] | BaseException], None],
        of: WorkerSlot | None = None,
    ) -> None:
        """Call ``then`` with answers that concern a worker.

        Args:
            slot: The worker.
            references: The answers.
            then: Gets their values, or what went wrong.
            of: The worker that answers, if it is another one.
        """
        self._dispatcher.ask(of or slot, references, self._counted(slot, then))

    def _counted(self, slot: WorkerSlot, then: Callable[[_Answer], None]) -> Callable[[_Answer], None]:
        """Count an answer as on its way until it is there; a worker that is being closed is killed after the last."""

        def answered(answer: _Answer) -> None:
            self._num_asked[slot] -= 1
            then(answer)
            if self._num_asked[slot]:
                return
            del self._num_asked[slot]
            if (flight := self._closing.get(slot)) is not None:
                if slot in self._means.holders:
                    self._means.fetch(slot, self._ask)
                else:
                    self._kill(flight)
            self._settle()

        self._num_asked[slot] = self._num_asked.get(slot, 0) + 1
        return answered

    def _look_later(self) -> None:
        def look() -> None:
            self._look_timer = None  # that the thread wakes up is enough: it looks for work by itself

        if self._look_timer is None:
            self._look_timer = self._dispatcher.at(time.monotonic() + _LOOK_AGAIN_S, look)

    def _distance(self, slot: WorkerSlot, delivery: Delivery) -> int:
        """Tell how far a client is from a worker: 0 if it ran there last, 1 if its state need not travel, else 2."""
        if self._estimates.was_on(delivery.node_id, slot):
            return 0
        return 1 if self._states.is_near(delivery.node_id, slot.ray_node) else 2

    def _name(self, delivery: Delivery) -> str:
        return f"message {self.order.message_type!r} to client {self.order.partition_of(delivery.node_id)}"
