"""Objects as bytes plus the memory of their arrays: packed where an error can be told apart, opened without a copy."""

import pickle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Packed(NamedTuple):
    """A pickled object.

    Attributes:
        data: The pickle, without the arrays' memory.
        buffers: The arrays' memory, as flat uint8 arrays: Ray hands them over without a copy.
    """

    data: bytes
    buffers: list[NDArray[np.uint8]]

    @property
    def nbytes(self) -> int:
        """Size of the whole in bytes."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)


def pack(value: Any) -> Packed:
    """Pickle a value. Its arrays' memory is referred to, not copied.

    Raises:
        Exception: Whatever pickle raises where the value cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return Packed(data, [flat(buffer) for buffer in buffers])


def unpack(packed: Packed) -> Any:
    """Return the value. Its arrays are views of the packed memory."""
    return pickle.loads(packed.data, buffers=packed.buffers)


def flat(buffer: pickle.PickleBuffer) -> NDArray[np.uint8]:
    """View the memory of a contiguous array as bytes."""
    raw = buffer.raw()
    return np.frombuffer(raw, np.uint8) if raw.nbytes else np.empty(0, np.uint8)
