"""What was sent last is held once: in the object store, of which the sender's own records get views."""

import weakref
from typing import Any

import ray
from flwr.app import ArrayRecord, RecordDict

from ..wire.arrays import SharedArray, share

LARGE_BYTES = 64_000
"""From here on arrays go through the object store; fetching less from there (1.5 ms) takes longer than copying it."""


class SentArrays:
    """Puts contents into the object store and frees the sender's copies of their large arrays.

    A server app holds the arrays it sent until it has new ones, and with them the store would hold them twice. What it
    still holds when it sends the next ones gets memory of its own again, so that the store is not kept full.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self._views: list[weakref.ref[SharedArray]] = []

    def put(self, content: RecordDict) -> Any:
        """Put a content into the object store, have its large arrays refer to that, and return the reference."""
        reference = ray.put(share(content))
        stored = ray.get(reference)
        for name, record in content.items():
            if isinstance(record, ArrayRecord):
                for key, array in stored[name].items():
                    if isinstance(array, SharedArray) and array.view().nbytes >= LARGE_BYTES:
                        record[key] = array
                        self._views.append(weakref.ref(array))
        return reference

    def give_back(self) -> None:
        """Give what is still in use memory of its own."""
        views, self._views = self._views, []
        for view in views:
            if (array := view()) is not None:
                array.detach()
