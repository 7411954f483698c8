"""Where a round's time goes."""

import time
from dataclasses import dataclass, field

from ..workers.jobs import WorkerSlot


@dataclass(frozen=True)
class RoundTiming:
    """Times of one exchange of messages, in seconds.

    Attributes:
        num_clients: Clients that answered.
        num_replies: Replies that reached the driver; fewer than clients where workers merged them.
        num_workers: Workers that took part.
        wall_s: From the call to the last reply.
        dispatch_s: From the call until the first worker had work: arrays into the object store, messages out.
        compute_s: In the client app, summed over the clients.
        merge_s: Merging replies on the workers, summed over the workers.
        transfer_s: From the end of the last client to the last reply: means and replies to the driver's node.
    """

    num_clients: int
    num_replies: int
    num_workers: int
    wall_s: float
    dispatch_s: float
    compute_s: float
    merge_s: float
    transfer_s: float

    @property
    def utilisation(self) -> float:
        """Share of the workers' time that they spent in the client app, from 0 to 1."""
        return self.compute_s / (self.num_workers * self.wall_s) if self.num_workers and self.wall_s > 0 else 0.0

    @property
    def parts(self) -> dict[str, float]:
        """``dispatch``, ``compute``, ``merge`` and ``transfer`` in seconds."""
        return {
            "dispatch": self.dispatch_s,
            "compute": self.compute_s,
            "merge": self.merge_s,
            "transfer": self.transfer_s,
        }

    def __str__(self) -> str:
        """One line for the log."""
        merged = f", replies merged into {self.num_replies}" if self.num_replies < self.num_clients else ""
        return (
            f"{self.num_clients} client(s) on {self.num_workers} worker(s) in {self.wall_s:.3g} s "
            f"({100 * self.utilisation:.0f} % of it in the client app){merged}"
        )


@dataclass
class RoundClock:
    """Takes the times of one exchange while it goes on."""

    started: float = field(default_factory=time.monotonic)
    first_sent: float | None = None
    last_landed: float | None = None
    slots: set[int] = field(default_factory=set)
    compute_s: float = 0.0
    merge_s: float = 0.0

    def sent(self, slot: WorkerSlot) -> None:
        """Note that a worker got work."""
        if self.first_sent is None:
            self.first_sent = time.monotonic()
        self.slots.add(id(slot))

    def landed(self, compute_s: float, merge_s: float) -> None:
        """Note that a worker reported."""
        self.last_landed = time.monotonic()
        self.compute_s += compute_s
        self.merge_s += merge_s

    def stop(self, num_clients: int, num_replies: int) -> RoundTiming:
        """Return the times: this is the end."""
        now = time.monotonic()
        sent = now if self.first_sent is None else self.first_sent
        landed = now if self.last_landed is None else self.last_landed
        return RoundTiming(
            num_clients=num_clients,
            num_replies=num_replies,
            num_workers=len(self.slots),
            wall_s=now - self.started,
            dispatch_s=sent - self.started,
            compute_s=self.compute_s,
            merge_s=self.merge_s,
            transfer_s=now - landed,
        )
