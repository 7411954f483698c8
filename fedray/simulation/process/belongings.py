"""What a lot's clients have in the object store: their states, and what these refer to. Read when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from flwr.app import RecordDict

from ..wire.kept import PackedState, StoredArrays, unpack_state
from ..wire.lots import Lot, Task


class Belongings:
    """Reads each object once, and keeps it until the lot is over."""

    def __init__(self, lot: Lot, large_contents: Sequence[RecordDict]) -> None:
        """Read nothing yet.

        Args:
            lot: The lot.
            large_contents: Contents of its messages that are objects in the store.
        """
        self._lot, self._large_contents = lot, large_contents
        self._parcels: dict[int, Any] = {}
        self._stored: dict[int, StoredArrays] = {}

    def state_of(self, task: Task) -> Callable[[], RecordDict]:
        """Fetch a client's state. What is returned opens it, with arrays that are views of the store.

        Raises:
            RayError: It is lost.
        """
        if task.state is None:
            return RecordDict
        index, place = task.state
        if index not in self._parcels:
            self._parcels[index] = ray.get(self._lot.parcels[index])
        packed: PackedState = self._parcels[index][place]
        stored = [self._object(number) for number in task.kept]
        return lambda: unpack_state(packed, stored)

    def readable_by(self, task: Task) -> Mapping[int, StoredArrays]:
        """Return the objects of the store that a client has read arrays of, by their numbers in the lot."""
        large = task.content - len(self._lot.small_contents)
        return {number: self._object(number) for number in (*task.kept, *([large] if large >= 0 else []))}

    def _object(self, number: int) -> StoredArrays:
        if number not in self._stored:
            earlier = number - len(self._large_contents)
            content = self._large_contents[number] if earlier < 0 else ray.get(self._lot.objects[earlier])
            self._stored[number] = StoredArrays(content)
        return self._stored[number]
