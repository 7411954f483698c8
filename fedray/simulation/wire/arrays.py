"""Flower arrays that travel out of band: pickle hands their memory over, it does not copy it into the pickle."""

from __future__ import annotations

import math
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.common.constant import SType
from numpy.typing import NDArray

_NPY_1_0 = b"\x93NUMPY\x01\x00"

# The attributes that describe the bytes in `data`; assigning one of them takes precedence over the held ndarray.
_DESCRIPTION = ("dtype", "shape", "stype", "data")


class SharedArray(Array):
    """A Flower ``Array`` that holds an ndarray instead of its ``.npy`` bytes.

    It behaves as Flower's own: ``numpy()`` returns a fresh, writable copy, and ``data``, ``deflate()`` and
    ``object_id`` have the same bytes (they are computed when asked for, and not kept). Pickle protocol 5 takes its
    memory out of band, so that Ray moves it with one copy into shared memory and none out of it.

    ``SharedArray(ndarray)`` refers to the memory it is given: do not write to it afterwards.
    ``SharedArray.from_numpy_ndarray(ndarray)`` copies, as Flower's ``Array`` does.
    """

    def __init__(self, ndarray: NDArray[Any]) -> None:
        """Hold ``ndarray`` (any shape, any dtype but object) without a copy, if its memory is contiguous."""
        if not (ndarray.flags.c_contiguous or ndarray.flags.f_contiguous):
            ndarray = ndarray.copy(order="C")  # pickle can only hand over memory without gaps
        self._hold(ndarray.view(np.ndarray))

    def _hold(self, held: NDArray[Any]) -> None:
        """Take an ndarray that nobody else refers to."""
        dtype = held.dtype
        if dtype.hasobject:
            raise ValueError(f"an array of dtype {dtype} holds Python objects and cannot be sent")
        held.setflags(write=False)
        self.__dict__.update(dtype=_name(dtype), shape=held.shape, stype=SType.NUMPY, _ndarray=held)

    @property
    def data(self) -> bytes:
        """The array in ``.npy`` form, computed at each access."""
        if (held := self.__dict__.get("_ndarray")) is None:
            return bytes(self.__dict__["_data"])
        return npy_bytes(held)

    @data.setter
    def data(self, value: bytes) -> None:
        self.__dict__["_data"] = value
        self.__dict__["_ndarray"] = None

    def view(self) -> NDArray[Any]:
        """The held memory itself: read-only, no copy. Valid as long as it is referenced."""
        if (held := self.__dict__.get("_ndarray")) is None:
            held = super().numpy()
            held.flags.writeable = False
        view: NDArray[Any] = held
        return view

    def detach(self) -> None:
        """Hold a copy from now on, not the memory that was given."""
        if (held := self.__dict__.get("_ndarray")) is not None:
            own = held.copy(order="K")
            own.flags.writeable = False
            self.__dict__["_ndarray"] = own

    def numpy(self) -> NDArray[Any]:
        """Return a writable copy, as Flower's ``Array`` does."""
        held = self.__dict__.get("_ndarray")
        if held is None or self.stype != SType.NUMPY:
            return super().numpy()
        copy: NDArray[Any] = held.copy(order="K")
        return copy

    @classmethod
    def from_numpy_ndarray(cls, ndarray: NDArray[Any]) -> SharedArray:
        """Hold a copy of ``ndarray``."""
        copy = ndarray.copy(order="A")  # as ``.npy`` bytes have it: in Fortran's order only if it is that as a whole
        shared = object.__new__(cls)  # __init__ makes sure of what a copy has: contiguous memory
        shared._hold(copy if type(copy) is np.ndarray else copy.view(np.ndarray))
        return shared

    def deflate(self) -> bytes:
        """Return the bytes Flower's ``Array`` has, class name in the header included."""
        return self._plain().deflate()

    def _plain(self) -> Array:
        return Array(dtype=self.dtype, shape=tuple(self.shape), stype=self.stype, data=self.data)

    def __eq__(self, other: object) -> bool:
        """Compare with any Flower array, by description and bytes."""
        if not isinstance(other, Array):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _DESCRIPTION)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the ndarray (out of band where the pickler can), or the bytes that were assigned over it."""
        held = self.__dict__.get("_ndarray")
        described = (self.dtype, self.shape, self.stype)
        # Pickle protocols before 5 silently turn a foreign byte order into the native one.
        if held is None or not held.dtype.isnative or described != (str(held.dtype), held.shape, SType.NUMPY):
            return Array, (self.dtype, tuple(self.shape), self.stype, self.data)
        return type(self), (held,)


def share(content: RecordDict) -> RecordDict:
    """Return ``content`` with every array that is in ``.npy`` form as a :class:`SharedArray`.

    Nothing in ``content`` is changed or copied. Arrays in another form (``stype``) stay as they are.
    """
    shared = RecordDict()
    for name, record in content.items():
        shared[name] = _share_record(record) if isinstance(record, ArrayRecord) else record
    return shared


def fresh(content: RecordDict) -> RecordDict:
    """Copy the records and not their arrays' memory: what one client does to its message no other may see."""
    copy: RecordDict = _copy(content)
    records = items_of(copy)
    for name, record in records.items():
        records[name] = twin = _copy(record)
        values = items_of(twin)
        for key, value in values.items():
            if isinstance(value, Array):
                values[key] = twin_of(value)
            elif isinstance(value, list):
                values[key] = list(value)
    return copy


def _copy(record: Any) -> Any:
    """Do what ``record.copy()`` does, in half the time."""
    twin, fields = object.__new__(type(record)), record.__dict__
    twin.__dict__.update(
        _check_key_fn=fields["_check_key_fn"], _check_value_fn=fields["_check_value_fn"], _data=fields["_data"].copy()
    )
    return twin


def ndarray_of(array: Array) -> NDArray[Any] | None:
    """View the ndarray that a Flower array holds, read-only and without a copy; None if it is in another form."""
    held: NDArray[Any] | None = array.__dict__.get("_ndarray")
    if held is None:
        held = _ndarray_within(array.data) if array.stype == SType.NUMPY else None
    if held is None or (array.dtype, tuple(array.shape), array.stype) != (_name(held.dtype), held.shape, SType.NUMPY):
        return None
    return held


def npy_bytes(ndarray: NDArray[Any]) -> bytes:
    """Return an array in ``.npy`` form, as Flower's ``Array`` has it."""
    buffer = BytesIO()
    np.save(buffer, ndarray, allow_pickle=False)
    return buffer.getvalue()


def items_of(record: Any) -> dict[str, Any]:
    """Return what a record holds, past the calls of Flower's dictionaries and, for who writes to it, their checks."""
    items: dict[str, Any] = record.__dict__["_data"]
    return items


def twin_of(array: Array) -> Array:
    """Return another array with the same memory."""
    twin = object.__new__(type(array))
    twin.__dict__.update(array.__dict__)
    return twin


@lru_cache(maxsize=64)
def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype)  # NumPy puts it together anew each time


def _share_record(record: ArrayRecord) -> ArrayRecord:
    shared = ArrayRecord()  # ArrayRecord(dict) would make plain arrays of its items again
    for name, array in record.items():
        shared[name] = share_array(array)
    return shared


def share_array(array: Array) -> Array:
    """Return ``array`` as a :class:`SharedArray` without a copy if it is in ``.npy`` form, else itself."""
    if isinstance(array, SharedArray):
        return array
    ndarray = ndarray_of(array)
    return array if ndarray is None else SharedArray(ndarray)


def _ndarray_within(data: bytes) -> NDArray[Any] | None:
    """View the array inside ``.npy`` bytes without a copy; None where that cannot be done."""
    if data[:8] != _NPY_1_0:  # what numpy writes for everything but very wide structured dtypes
        return None
    offset = 10 + int.from_bytes(data[8:10], "little")
    parsed = _parse_header(data[:offset])
    if parsed is None:
        return None
    shape, fortran_order, dtype = parsed
    count = math.prod(shape)
    if dtype.hasobject or len(data) - offset != count * dtype.itemsize:
        return None
    flat = np.frombuffer(data, dtype=dtype, count=count, offset=offset)
    return flat.reshape(shape, order="F" if fortran_order else "C")


@lru_cache(maxsize=4096)
def _parse_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    """Parse the header of ``.npy`` bytes. The same one comes from every client, and parsing costs 30 microseconds."""
    stream = BytesIO(header)
    np.lib.format.read_magic(stream)
    try:
        return np.lib.format.read_array_header_1_0(stream)
    except ValueError:
        return None
