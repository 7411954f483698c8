"""Flower's records and replies in a third of their time, for processes of our own.

They are the same as Flower's. What is left out are checks of arguments that are not given, and two generic types for
every item that is set or looked up: a quickstart's client, whose records come from a ``state_dict`` and go into one,
spent more on them than on all else.
"""

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import arrayrecord, metricrecord, recorddict
from flwr.app.message.typeddict import TypedDict

from .arrays import SharedArray, twin_of

_flowers_array_record = ArrayRecord.__init__
_flowers_record_assignment = RecordDict.__setitem__
_flowers_message = Message.__init__

_ARRAYS, _NUMBERS = frozenset({Array, SharedArray}), frozenset({int, float})
_RECORDS, _NAMES = frozenset({ArrayRecord, MetricRecord, ConfigRecord}), frozenset({str})
_STATE_DICTS = frozenset({dict, OrderedDict})


def make_records_quickly() -> None:
    """Change Flower's records and messages in this process, in which ``serialise_on_demand`` has changed its arrays."""
    ArrayRecord.__init__ = _init_array_record  # type: ignore[assignment, method-assign]
    MetricRecord.__init__ = _init_of_dictionary(MetricRecord, _NUMBERS, metricrecord)  # type: ignore[method-assign]
    RecordDict.__init__ = _init_of_dictionary(RecordDict, _RECORDS, recorddict)  # type: ignore[method-assign]
    for name, method in _METHODS.items():
        setattr(TypedDict, name, method)
    RecordDict.__setitem__ = _set_record  # type: ignore[method-assign]
    RecordDict.array_records = _records_of(ArrayRecord)  # type: ignore[assignment, method-assign]
    RecordDict.metric_records = _records_of(MetricRecord)  # type: ignore[assignment, method-assign]
    RecordDict.config_records = _records_of(ConfigRecord)  # type: ignore[assignment, method-assign]
    Message.__init__ = _init_message  # type: ignore[assignment, method-assign]


# Records.


def _init_of_dictionary(kind: type[TypedDict[Any, Any]], values: frozenset[type], module: Any) -> Callable[..., None]:
    """Return an ``__init__`` of nothing or of a dictionary of such values, as apps do; anything else is Flower's."""
    flowers, check_key, check_value = kind.__init__, module._check_key, module._check_value

    def init(record: TypedDict[Any, Any], /, *args: Any, **kwargs: Any) -> None:
        named = args[0] if args else {}
        if kwargs or len(args) > 1 or type(named) is not dict or not _are(values, named):
            flowers(record, *args, **kwargs)
        else:
            record.__dict__.update(_check_key_fn=check_key, _check_value_fn=check_value, _data=named.copy())

    return init


def _init_array_record(record: ArrayRecord, /, *args: Any, **kwargs: Any) -> None:
    """Make a record of nothing, of arrays or of a ``state_dict``, as apps do; anything else is Flower's."""
    if (data := None if kwargs or len(args) > 1 else _data_of(*args)) is None:
        _flowers_array_record(record, *args, **kwargs)
        return
    checks = {"_check_key_fn": arrayrecord._check_key, "_check_value_fn": arrayrecord._check_value}
    record.__dict__.update(checks, _data=data)


def _data_of(named: Any = None) -> dict[str, Array] | None:
    if named is None:
        return {}
    if type(named) not in _STATE_DICTS:
        return None
    if _are(_ARRAYS, named):
        return {name: twin_of(array) for name, array in named.items()}
    torch = sys.modules.get("torch")
    if torch is not None and _are(_tensors_of(torch), named):
        return {name: _array_of(tensor) for name, tensor in named.items()}
    return None


@cache
def _tensors_of(torch: Any) -> frozenset[type]:
    return frozenset({torch.Tensor, torch.nn.Parameter})


def _array_of(tensor: Any) -> Array:
    """Snapshot a tensor, as ``Array.from_torch_tensor`` does. One that comes from a GPU is a copy already."""
    plain = tensor.detach() if tensor.requires_grad else tensor
    return SharedArray.from_numpy_ndarray(plain.numpy()) if tensor.is_cpu else SharedArray(plain.cpu().numpy())


def _are(types: frozenset[type], named: Any) -> bool:
    """Whether a dictionary has such values, and strings for keys."""
    return types.issuperset(map(type, named.values())) and _NAMES.issuperset(map(type, named))


def _setitem(record: TypedDict[Any, Any], key: Any, value: Any) -> None:
    fields = record.__dict__
    fields["_check_key_fn"](key)
    fields["_check_value_fn"](value)
    fields["_data"][key] = value


_METHODS: dict[str, Callable[..., Any]] = {
    "__setitem__": _setitem,
    "__getitem__": lambda record, key: record.__dict__["_data"][key],
    "__iter__": lambda record: iter(record.__dict__["_data"]),
    "__len__": lambda record: len(record.__dict__["_data"]),
    "keys": lambda record: record.__dict__["_data"].keys(),
    "items": lambda record: record.__dict__["_data"].items(),
}


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


# Replies.


def _init_message(message: Message, *args: Any, **kwargs: Any) -> None:
    """Make a reply with a content, as apps do; anything else is Flower's."""
    asked = kwargs.get("reply_to")
    content = args[0] if len(args) == 1 else kwargs.get("content")
    if len(args) + len(kwargs) != 2 or not isinstance(content, RecordDict) or not isinstance(asked, Message):
        _flowers_message(message, *args, **kwargs)
        return
    now, metadata, fields = time.time(), object.__new__(Metadata), asked.metadata.__dict__
    metadata.__dict__ = fields | {
        "_message_id": "",
        "_src_node_id": fields["_dst_node_id"],
        "_dst_node_id": fields["_src_node_id"],
        "_src_task_id": fields["_dst_task_id"],
        "_dst_task_id": fields["_src_task_id"],
        "_reply_to_message_id": fields["_message_id"],
        "_created_at": now,
        "_ttl": fields["_created_at"] + fields["_ttl"] - now,
    }
    metadata.delivered_at = ""
    message.__dict__.update(_metadata=metadata, _content=content, _error=None)
