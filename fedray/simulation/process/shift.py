"""One lot at work: which clients are left, which one runs, what is done.

Two threads share it: the one that runs the clients, and the one that answers the driver while they run.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from flwr.app import Message, RecordDict

from ..wire.kept import PackedState, StoredArrays, in_one, pack_state
from ..wire.lots import NO_STATE, Lot, Report
from ..wire.messages import ready_to_travel
from ..wire.packing import Packed, pack
from .running_mean import RunningMean

# Ray keeps results below 100 KB in the driver's memory; whatever may be many times that goes into the object store.
_LARGE_BYTES = 100_000
# A shift that holds more than this ends early: what waits to be handed over is in this process's own memory.
_ENOUGH_BYTES = 64_000_000


class Shift:
    """Progress of one lot."""

    def __init__(self, lot: Lot, mean: RunningMean | None) -> None:
        """Start with all clients left.

        Args:
            lot: The lot.
            mean: Where replies are merged, None if each is wanted.
        """
        self.lot, self.mean = lot, mean
        self._left = deque(range(len(lot.node_ids)))
        self._running: tuple[int, float] | None = None
        self._closed = False
        self._report = Report()
        self._parcels: list[Any] = []
        self._parcel_bytes = 0
        self._bundle: list[PackedState] = []  # small states in one parcel, the last of its kind
        self._bundle_index, self._bundle_bytes = -1, _LARGE_BYTES
        self._lock = threading.Lock()

    # For the thread that runs the clients.

    def start_next(self) -> int | None:
        """Return the position of the next client to run, None if there is none left."""
        with self._lock:
            if self._closed or not self._left or self._parcel_bytes > _ENOUGH_BYTES:
                self._running = None
                return None
            position = self._left.popleft()
            self._running = (position, time.monotonic())
            return position

    def record(
        self,
        position: int,
        reply: Message,
        state: RecordDict | None,
        seconds: float,
        stored: Mapping[int, StoredArrays],
    ) -> None:
        """Take in what a client gave. Nothing is taken in once the shift is closed.

        Args:
            position: The client's position in the lot.
            reply: Its reply.
            state: Its new state, None if that is as before.
            seconds: Seconds in the client app.
            stored: Objects of the lot that the state may refer to, by their index.

        Raises:
            Exception: The reply or the state cannot be pickled; then nothing is taken in.
        """
        with self._lock:
            if self._closed:
                return
            # All that can fail comes before anything is taken in: a client that fails halfway changes nothing.
            packed_state, sources = pack_state(state, stored) if state else (None, ())
            if not self._merge(position, reply):
                self._add_reply(position, pack(ready_to_travel(reply)))
            if packed_state is not None:
                assert state is not None, "what was packed"
                self._add_state(position, state, packed_state, sources)
            elif state is not None:
                self._report.states[position] = NO_STATE
            self._report.seconds[position] = seconds

    def record_lost(self, position: int, reason: str) -> None:
        """Note that a client could not run, because its state could not be read."""
        with self._lock:
            if not self._closed:  # else the report is on its way
                self._report.lost[position] = reason

    def _merge(self, position: int, reply: Message) -> bool:
        if self.mean is None or not reply.has_content():
            return False
        started = time.perf_counter()
        merged = self.mean.add(self.lot.node_ids[position], reply.content)
        self._report.merge_s += time.perf_counter() - started
        if merged:
            self._report.merged.append(position)
        return merged

    def _add_reply(self, position: int, packed: Packed) -> None:
        if packed.nbytes < _LARGE_BYTES:
            self._report.replies[position] = packed
        else:
            self._report.large_replies[position] = self._add_parcel(packed, packed.nbytes)

    def _add_state(self, position: int, state: RecordDict, packed: PackedState, sources: tuple[int, ...]) -> None:
        if sources:
            self._report.kept[position] = sources
        if packed.nbytes >= _LARGE_BYTES:
            self._report.states[position] = (self._add_parcel([packed], packed.nbytes), 0)
            return
        if self._bundle_bytes >= _LARGE_BYTES:
            self._bundle, self._bundle_bytes = [], 0
            self._bundle_index = self._add_parcel(self._bundle, 0)
        self._report.states[position] = (self._bundle_index, len(self._bundle))
        self._bundle.append(in_one(state, packed))
        self._bundle_bytes += packed.nbytes
        self._parcel_bytes += packed.nbytes

    def _add_parcel(self, parcel: Any, nbytes: int) -> int:
        self._parcels.append(parcel)
        self._parcel_bytes += nbytes
        return len(self._parcels) - 1

    # For the thread that answers the driver, and at the end for both.

    def take_back(self) -> list[int]:
        """Give up half of the clients that are left, the later ones. Returns their positions."""
        with self._lock:
            return [self._left.pop() for _ in range((len(self._left) + 1) // 2)]

    def running(self) -> tuple[int, float] | None:
        """Return the position of the client that runs now, and for how many seconds."""
        with self._lock:
            return None if self._running is None else (self._running[0], time.monotonic() - self._running[1])

    def close(self) -> tuple[Report, list[Any]] | None:
        """End the shift: return the report on the clients that are done, and the parcels; None if it was closed."""
        with self._lock:
            if self._closed:
                return None
            self._closed = True
            self._report.num_parcels, self._report.left = len(self._parcels), list(self._left)
            return self._report, self._parcels
