"""The messages of a wave: which of them wait for a worker, which must run alone, and which are answered."""

from collections import deque
from collections.abc import Callable, Iterable

from flwr.app import RecordDict

from .balance import Estimates, take_lot
from .delivery import Delivery, Merged


class Ledger:
    """Deliveries, until they are finished. Used on the dispatcher's thread."""

    def __init__(
        self, deliveries: list[Delivery], estimates: Estimates, on_finished: Callable[[list[Delivery], bool], None]
    ) -> None:
        """Have all wait.

        Args:
            deliveries: The messages.
            estimates: The clients' times.
            on_finished: Gets deliveries as soon as they are finished, and whether they are the last.
        """
        self._estimates, self._on_finished = estimates, on_finished
        self._unfinished = dict.fromkeys(deliveries)
        self._waiting: deque[Delivery] = estimates.longest_first(deliveries)
        self._alone: list[Delivery] = []

    @property
    def done(self) -> bool:
        """Whether all are finished."""
        return not self._unfinished

    @property
    def any_waiting(self) -> bool:
        """Whether there is one for a worker."""
        return bool(self._waiting or self._alone)

    def unfinished(self) -> list[Delivery]:
        """Return those that are not finished."""
        return list(self._unfinished)

    def next_lot(self, num_idle: int, limit_s: float, distance: Callable[[Delivery], int]) -> list[Delivery]:
        """Take those that a worker is to run next; see :func:`take_lot`."""
        if self._alone:
            return [self._alone.pop()]
        return take_lot(self._waiting, num_idle, limit_s, distance)

    def learn(self) -> None:
        """Sort those that wait as soon as there are times to sort them by."""
        if self._waiting and self._waiting[0].estimate_s == 0:
            self._waiting = self._estimates.longest_first(self._waiting)

    def run_again(self, deliveries: Iterable[Delivery]) -> None:
        """Have those wait again that are not finished, without what came back."""
        again = [delivery for delivery in deliveries if delivery in self._unfinished]
        for delivery in again:
            delivery.forget()
        self._waiting.extend(again)

    def run_alone(self, deliveries: Iterable[Delivery]) -> None:
        """Have each wait for a lot of its own: a worker died while it had them."""
        self._alone += [delivery for delivery in deliveries if delivery in self._unfinished]

    def finish(self, deliveries: list[Delivery]) -> None:
        """Pass on those that have their replies."""
        mine = [delivery for delivery in deliveries if delivery in self._unfinished]
        for delivery in mine:
            del self._unfinished[delivery]
        if mine:
            self._on_finished(mine, not self._unfinished)

    def finish_merged(self, members: list[Delivery], content: RecordDict) -> None:
        """Answer deliveries with their mean."""
        merged = Merged(content)
        for delivery in members:
            delivery.merged = merged
        self.finish(members)

    def fail(self, deliveries: Iterable[Delivery], error: BaseException) -> None:
        """Answer deliveries with an error."""
        failed = list(deliveries)
        for delivery in failed:
            delivery.fail(error)
        self.finish(failed)

    def forget(self, message_ids: set[str]) -> None:
        """Answer these messages no more."""
        for delivery in [delivery for delivery in self._unfinished if delivery.message_id in message_ids]:
            del self._unfinished[delivery]

    def stop(self) -> None:
        """Have none wait."""
        self._waiting.clear()
        self._alone.clear()
