"""Clients' states, packed: what one keeps of a large message is referred to where it is, and not written again."""

import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ArrayRecord, RecordDict
from numpy.typing import NDArray

from .arrays import ndarray_of
from .packing import flat

_WORTH_KEEPING = 0.5
"""Share of an object's bytes that a state must have of it to refer to it: the store keeps the whole object for that."""


class Kept(NamedTuple):
    """An array of a state that is part of an object in the store.

    Attributes:
        source: Which of the objects that the state refers to.
        record: Name of the record there.
        array: Name of the array in it.
    """

    source: int
    record: str
    array: str


class PackedState(NamedTuple):
    """A pickled state.

    Attributes:
        data: The pickle, without the memory of what is in ``buffers``.
        buffers: The arrays that the pickle asks for, in its order: their memory, as flat uint8 arrays that Ray hands
            over without a copy, or where it is.
    """

    data: bytes
    buffers: list[NDArray[np.uint8] | Kept]

    @property
    def nbytes(self) -> int:
        """Size in bytes of what is its own."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers if not isinstance(buffer, Kept))


class StoredArrays:
    """Where the arrays of an object in the store are in this process: they stay there as long as this does."""

    def __init__(self, content: RecordDict) -> None:
        """Look; nothing is copied."""
        self._views = dict(_views(content))
        self._names = {_address(view): name for name, view in self._views.items()}
        self.nbytes = sum(view.nbytes for view in self._views.values())

    def name_of(self, array: NDArray[Any]) -> tuple[str, str] | None:
        """Return the names of the record and the array whose memory this is, None if it is none of them."""
        return self._names.get(_address(array))

    def memory(self, kept: Kept) -> NDArray[np.uint8]:
        """View an array's memory."""
        view: Any = self._views[kept.record, kept.array]  # PickleBuffer's type wants a buffer
        return flat(pickle.PickleBuffer(view))


def pack_state(state: RecordDict, stored: Mapping[int, StoredArrays]) -> tuple[PackedState, tuple[int, ...]]:
    """Pickle a state. The memory of arrays is referred to, not copied.

    Args:
        state: Its arrays give their memory away (:func:`.arrays.share`).
        stored: The objects that the client has read, by any number.

    Returns:
        The packed state, and the numbers of the objects that it refers to: :attr:`Kept.source` is a place among them.

    Raises:
        Exception: Whatever pickle raises where the state cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(state, protocol=5, buffer_callback=buffers.append)
    memory = [flat(buffer) for buffer in buffers]
    found = _found(memory, stored)
    sources = sorted({number for number, _ in found.values()})
    packed: list[NDArray[np.uint8] | Kept] = list(memory)
    for position, (number, names) in found.items():
        packed[position] = Kept(sources.index(number), *names)
    return PackedState(data, packed), tuple(sources)


def in_one(state: RecordDict, packed: PackedState) -> PackedState:
    """Pack a small state again with all memory of its own in the pickle, so that a list of many is quickly read."""
    buffers = iter(packed.buffers)
    data = pickle.dumps(state, protocol=5, buffer_callback=lambda _: not isinstance(next(buffers), Kept))
    return PackedState(data, [buffer for buffer in packed.buffers if isinstance(buffer, Kept)])


def unpack_state(packed: PackedState, stored: Sequence[StoredArrays]) -> RecordDict:
    """Return a state. Its arrays are views of the packed memory, and of the objects that it refers to."""
    buffers = [stored[b.source].memory(b) if isinstance(b, Kept) else b for b in packed.buffers]
    state: RecordDict = pickle.loads(packed.data, buffers=buffers)
    return state


def _found(
    memory: Sequence[NDArray[np.uint8]], stored: Mapping[int, StoredArrays]
) -> dict[int, tuple[int, tuple[str, str]]]:
    """Find, by position, what is part of an object of which the state has enough to refer to it."""
    found: dict[int, tuple[int, tuple[str, str]]] = {}
    nbytes = Counter[int]()
    for number, arrays in stored.items():
        for position, array in enumerate(memory):
            if position not in found and (names := arrays.name_of(array)) is not None:
                found[position] = number, names
                nbytes[number] += array.nbytes
    return {
        position: (number, names)
        for position, (number, names) in found.items()
        if nbytes[number] >= _WORTH_KEEPING * stored[number].nbytes
    }


def _views(content: RecordDict) -> Iterator[tuple[tuple[str, str], NDArray[Any]]]:
    for record_name, record in content.items():
        if isinstance(record, ArrayRecord):
            for name, array in record.items():
                if (view := ndarray_of(array)) is not None and view.nbytes:
                    yield (record_name, name), view


def _address(array: NDArray[Any]) -> tuple[int, int]:
    address: int = array.__array_interface__["data"][0]
    return address, array.nbytes
