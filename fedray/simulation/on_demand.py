"""Flower's records without their cost, for processes of our own: a worker's arrays all leave through ``share``.

Flower's ``Array(ndarray)`` turns the ndarray into ``.npy`` bytes, and we would parse them to get the ndarray back: 40
microseconds for a small array, and for a large one seven times a copy. In a worker it keeps a copy of the ndarray
instead, and makes the bytes only if an app asks for ``data``. Records and replies are the same as Flower's and made in
half the time: without two generic types for every item that is set, and without checking arguments that are not given.
"""

import time
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message.recorddict import _SyncedDict
from flwr.app.message.typeddict import TypedDict
from numpy.typing import NDArray

from .arrays import SharedArray, npy_bytes, twin_of

_flowers_assignment = Array.__setattr__
_flowers_record_assignment = RecordDict.__setitem__
_flowers_message = Message.__init__


def serialise_on_demand() -> None:
    """Change Flower's classes in this process."""
    Array.from_numpy_ndarray = classmethod(_from_numpy_ndarray)  # type: ignore[method-assign, assignment]
    Array.__getattr__ = _getattr  # type: ignore[attr-defined]
    Array.__setattr__ = _setattr  # type: ignore[method-assign, assignment]
    ArrayRecord.from_array_dict = classmethod(_from_array_dict)  # type: ignore[method-assign, assignment]
    TypedDict.__setitem__ = _setitem  # type: ignore[method-assign]
    RecordDict.__setitem__ = _set_record  # type: ignore[method-assign]
    RecordDict.array_records = _records_of(ArrayRecord)  # type: ignore[assignment, method-assign]
    RecordDict.metric_records = _records_of(MetricRecord)  # type: ignore[assignment, method-assign]
    RecordDict.config_records = _records_of(ConfigRecord)  # type: ignore[assignment, method-assign]
    Message.__init__ = _init_message  # type: ignore[assignment, method-assign]


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


def _set_record(records: RecordDict, key: Any, value: Any) -> None:
    if key in records.__dict__["_data"]:
        _flowers_record_assignment(records, key, value)  # it warns of another kind of record
    else:
        _setitem(records, key, value)


def _records_of(kind: type[Any]) -> property:
    """Make the view of a RecordDict's records of one kind. They come from there, and need not be put back."""

    def view(records: RecordDict) -> Any:
        synced: Any = _SyncedDict(records, kind)
        data = records.__dict__["_data"]
        synced.__dict__["_data"] = {name: record for name, record in data.items() if isinstance(record, kind)}
        return synced

    return property(view)


def _init_message(message: Message, *args: Any, **kwargs: Any) -> None:
    """Make a reply with a content, as apps do; anything else is Flower's."""
    asked = kwargs.get("reply_to")
    if len(args) != 1 or len(kwargs) != 1 or not isinstance(args[0], RecordDict) or not isinstance(asked, Message):
        _flowers_message(message, *args, **kwargs)
        return
    now, metadata = time.time(), object.__new__(Metadata)
    fields = metadata.__dict__
    fields.update(asked.metadata.__dict__)
    fields.update(
        _message_id="",
        _src_node_id=fields["_dst_node_id"],
        _dst_node_id=fields["_src_node_id"],
        _src_task_id=fields["_dst_task_id"],
        _dst_task_id=fields["_src_task_id"],
        _reply_to_message_id=fields["_message_id"],
        _created_at=now,
        _ttl=fields["_created_at"] + fields["_ttl"] - now,
    )
    metadata.delivered_at = ""
    message.__dict__.update(_metadata=metadata, _content=args[0], _error=None)
