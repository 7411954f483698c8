"""Flower's records without their cost, for processes of our own: a worker's arrays all leave through ``share``.

Flower's ``Array(ndarray)`` turns the ndarray into ``.npy`` bytes, and we would parse them to get the ndarray back: 40
microseconds for a small array, and for a large one seven times a copy. In a worker it keeps a copy of the ndarray
instead, and makes the bytes only if an app asks for ``data``. Records and replies are the same as Flower's and made in
half the time: without two generic types for every item that is set, and without checking arguments that are not given.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import arrayrecord, metricrecord, recorddict
from flwr.app.message.typeddict import TypedDict
from numpy.typing import NDArray

from .arrays import SharedArray, npy_bytes, twin_of

_flowers_array = Array.__init__
_flowers_assignment = Array.__setattr__
_flowers_record_assignment = RecordDict.__setitem__
_flowers_message = Message.__init__

_ARRAYS, _NUMBERS = frozenset({Array, SharedArray}), frozenset({int, float})
_RECORDS, _NAMES = frozenset({ArrayRecord, MetricRecord, ConfigRecord}), frozenset({str})


def serialise_on_demand() -> None:
    """Change Flower's classes in this process."""
    Array.__init__ = _init_array  # type: ignore[assignment, method-assign]
    Array.from_numpy_ndarray = classmethod(_from_numpy_ndarray)  # type: ignore[method-assign, assignment]
    Array.__getattr__ = _getattr  # type: ignore[attr-defined]
    Array.__setattr__ = _setattr  # type: ignore[method-assign, assignment]
    ArrayRecord.__init__ = _init_of_dictionary(ArrayRecord, _ARRAYS, _twins, arrayrecord)  # type: ignore[method-assign]
    ArrayRecord.from_array_dict = classmethod(_from_array_dict)  # type: ignore[method-assign, assignment]
    MetricRecord.__init__ = _init_of_dictionary(MetricRecord, _NUMBERS, dict, metricrecord)  # type: ignore[method-assign]
    RecordDict.__init__ = _init_of_dictionary(RecordDict, _RECORDS, dict, recorddict)  # type: ignore[method-assign]
    TypedDict.__setitem__ = _setitem  # type: ignore[method-assign]
    RecordDict.__setitem__ = _set_record  # type: ignore[method-assign]
    RecordDict.array_records = _records_of(ArrayRecord)  # type: ignore[assignment, method-assign]
    RecordDict.metric_records = _records_of(MetricRecord)  # type: ignore[assignment, method-assign]
    RecordDict.config_records = _records_of(ConfigRecord)  # type: ignore[assignment, method-assign]
    Message.__init__ = _init_message  # type: ignore[assignment, method-assign]


def _init_array(array: Array, /, *args: Any, **kwargs: Any) -> None:
    """Make an array of an ndarray, as apps do; anything else is Flower's."""
    if len(args) == 1 and not kwargs and isinstance(args[0], np.ndarray):
        array.__dict__.update(SharedArray.from_numpy_ndarray(args[0]).__dict__)
    else:
        _flowers_array(array, *args, **kwargs)


def _init_of_dictionary(
    kind: type[TypedDict[Any, Any]], values: frozenset[type], copy: Callable[[Any], dict[str, Any]], module: Any
) -> Callable[..., None]:
    """Return an ``__init__`` that copies a dictionary of such values, as apps give one; anything else is Flower's."""
    flowers, check_key, check_value = kind.__init__, module._check_key, module._check_value

    def init(record: TypedDict[Any, Any], /, *args: Any, **kwargs: Any) -> None:
        if len(args) == 1 and not kwargs and _are(values, args[0]):
            record.__dict__.update(_check_key_fn=check_key, _check_value_fn=check_value, _data=copy(args[0]))
        else:
            flowers(record, *args, **kwargs)

    return init


def _twins(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: twin_of(array) for name, array in arrays.items()}


def _are(types: frozenset[type], named: Any) -> bool:
    """Whether something is a dictionary of such values, with strings for keys."""
    return type(named) is dict and types.issuperset(map(type, named.values())) and _NAMES.issuperset(map(type, named))


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
        synced = object.__new__(recorddict._SyncedDict)
        items = {name: record for name, record in records.__dict__["_data"].items() if isinstance(record, kind)}
        synced.__dict__.update(
            _check_key_fn=recorddict._check_key,
            _check_value_fn=synced.check_value,
            _data=items,
            recorddict=records,
            allowed_type=kind,
        )
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
