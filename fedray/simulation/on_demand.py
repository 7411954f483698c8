"""Flower's records without their cost, for processes of our own: a worker's arrays all leave through ``share``.

Flower's ``Array(ndarray)`` turns the ndarray into ``.npy`` bytes, and we would parse them to get the ndarray back: 40
microseconds for a small array, and for a large one seven times a copy. In a worker it keeps a copy of the ndarray
instead, and makes the bytes only if an app asks for ``data``. And whatever is put into a record is checked as Flower
does, but without the two generic types that Flower makes for it every time: a sixth of a small client's time.
"""

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.app.message.typeddict import TypedDict
from numpy.typing import NDArray

from .arrays import SharedArray, npy_bytes, twin_of

_flowers_assignment = Array.__setattr__


def serialise_on_demand() -> None:
    """Change Flower's classes in this process."""
    Array.from_numpy_ndarray = classmethod(_from_numpy_ndarray)  # type: ignore[method-assign, assignment]
    Array.__getattr__ = _getattr  # type: ignore[attr-defined]
    Array.__setattr__ = _setattr  # type: ignore[method-assign, assignment]
    ArrayRecord.from_array_dict = classmethod(_from_array_dict)  # type: ignore[method-assign, assignment]
    TypedDict.__setitem__ = _setitem  # type: ignore[method-assign]


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


def _setitem(record: TypedDict[Any, Any], key: Any, value: Any) -> None:
    fields = record.__dict__
    fields["_check_key_fn"](key)
    fields["_check_value_fn"](value)
    fields["_data"][key] = value
