"""Flower's arrays without their bytes, for processes of our own: a worker's arrays all leave through ``share``.

Flower's ``Array(ndarray)`` turns the ndarray into ``.npy`` bytes, and we would parse them to get the ndarray back: 40
microseconds for a small array, and for a large one seven times a copy. In a worker it keeps a copy of the ndarray
instead, and makes the bytes only if an app asks for ``data``.
"""

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.common.constant import SType
from numpy.typing import NDArray

from .arrays import SharedArray, npy_bytes, twin_of

_flowers_array = Array.__init__
_flowers_assignment = Array.__setattr__
_flowers_numpy = Array.numpy


def serialise_on_demand() -> None:
    """Change Flower's arrays in this process."""
    Array.__init__ = _init_array  # type: ignore[assignment, method-assign]
    Array.from_numpy_ndarray = classmethod(_from_numpy_ndarray)  # type: ignore[method-assign, assignment]
    Array.numpy = _numpy  # type: ignore[assignment, method-assign]
    Array.__getattr__ = _getattr  # type: ignore[attr-defined]
    Array.__setattr__ = _setattr  # type: ignore[method-assign, assignment]
    ArrayRecord.from_array_dict = classmethod(_from_array_dict)  # type: ignore[method-assign, assignment]


def _init_array(array: Array, /, *args: Any, **kwargs: Any) -> None:
    """Make an array of an ndarray, as apps do; anything else is Flower's."""
    if len(args) == 1 and not kwargs and isinstance(args[0], np.ndarray):
        array.__dict__.update(SharedArray.from_numpy_ndarray(args[0]).__dict__)
    else:
        _flowers_array(array, *args, **kwargs)


def _from_numpy_ndarray(cls: type[Array], ndarray: NDArray[Any]) -> Array:
    assert isinstance(ndarray, np.ndarray), f"Expected NumPy ndarray, got {type(ndarray)}"
    return SharedArray.from_numpy_ndarray(ndarray)


def _from_array_dict(cls: type[ArrayRecord], array_dict: dict[str, Array], *, keep_input: bool = True) -> ArrayRecord:
    record = ArrayRecord()
    for name, array in array_dict.items():
        record[name] = twin_of(array)
    if not keep_input:
        array_dict.clear()
    return record


def _numpy(array: Array) -> NDArray[Any]:
    """Return a writable copy. ``Array(ndarray)`` would make bytes and parse them."""
    held: NDArray[Any] | None = array.__dict__.get("_ndarray")
    if held is None or array.stype != SType.NUMPY:
        return _flowers_numpy(array)
    return held.copy(order="K")


def _getattr(array: Array, name: str) -> Any:
    """Compute ``data``: ``Array(ndarray)`` takes over what SharedArray's ``__dict__`` has, which is all but that."""
    held = array.__dict__.get("_ndarray")
    if name != "data" or held is None:
        raise AttributeError(f"{type(array).__name__!r} object has no attribute {name!r}")
    return npy_bytes(held)


def _setattr(array: Array, name: str, value: Any) -> None:
    if name == "data":
        array.__dict__.pop("_ndarray", None)  # the bytes are what counts from now on
    _flowers_assignment(array, name, value)
