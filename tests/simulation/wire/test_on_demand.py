"""In a worker, Flower's arrays must be what they are elsewhere, for whatever an app does with them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.message.typeddict import TypedDict

from fedray.simulation import SharedArray
from fedray.simulation.wire.arrays import ndarray_of, share
from fedray.simulation.wire.on_demand import serialise_on_demand
from fedray.simulation.wire.runs import identify


@pytest.fixture
def as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Change Flower's classes as a worker does, and change them back."""
    views = ("array_records", "metric_records", "config_records")
    for owner, names in (
        (Array, ("__init__", "from_numpy_ndarray", "__setattr__")),
        (ArrayRecord, ("__init__", "from_array_dict")),
        (MetricRecord, ("__init__",)),
        (TypedDict, ("__setitem__",)),
        (RecordDict, ("__init__", "__setitem__", *views)),
        (Message, ("__init__",)),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, owner.__dict__[name])
    serialise_on_demand()
    yield
    monkeypatch.undo()
    del Array.__getattr__


NDARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(3.5),
    np.zeros((0, 3)),
    np.arange(20)[::2],
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(4, dtype=">f4"),
    np.array([True, False]),
]


@pytest.mark.parametrize("ndarray", NDARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_are_what_they_were(ndarray, request):
    stock = Array(ndarray)
    expected = (stock.dtype, stock.shape, stock.stype, stock.data, stock.object_id)
    request.getfixturevalue("as_in_a_worker")
    for array in (
        Array(ndarray),
        Array(ndarray=ndarray),
        Array.from_numpy_ndarray(ndarray),
        ArrayRecord([ndarray])["0"],
        ArrayRecord({"w": Array(ndarray)})["w"],
        ArrayRecord(ArrayRecord([ndarray]).copy().__dict__["_data"])["0"],
    ):
        assert (array.dtype, array.shape, array.stype, array.data, array.object_id) == expected
        np.testing.assert_array_equal(array.numpy(), ndarray)
        assert array == stock


def test_torch_state_dicts_go_both_ways(as_in_a_worker):
    state = {"w": torch.arange(3.0), "n": torch.tensor(2)}
    again = ArrayRecord(state).to_torch_state_dict()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_an_array_is_a_snapshot(as_in_a_worker):
    ndarray = np.zeros(3)
    array = Array(ndarray)
    record = ArrayRecord({"w": array})
    ndarray[:] = 1
    array.numpy()[:] = 2
    np.testing.assert_array_equal(record["w"].numpy(), np.zeros(3))


def test_assigned_bytes_count(as_in_a_worker):
    array, other = Array(np.zeros(3)), Array(np.arange(2.0))
    record = ArrayRecord({"w": array})
    array.data, array.shape = other.data, other.shape
    np.testing.assert_array_equal(array.numpy(), np.arange(2.0))
    np.testing.assert_array_equal(ndarray_of(array), np.arange(2.0))
    np.testing.assert_array_equal(record["w"].numpy(), np.zeros(3))


def test_no_bytes_are_made_on_the_way_out(as_in_a_worker, monkeypatch):
    monkeypatch.setattr(np, "save", lambda *args, **kwargs: pytest.fail("serialised"))
    ndarray = np.arange(3.0)
    shared = share(RecordDict({"arrays": ArrayRecord({"w": Array(ndarray)})}))
    assert isinstance(shared["arrays"]["w"], SharedArray)
    np.testing.assert_array_equal(shared["arrays"]["w"].view(), ndarray)


def test_errors_stay(as_in_a_worker):
    with pytest.raises(ValueError, match="object"):
        Array(np.array([object()]))
    with pytest.raises(AttributeError, match="no attribute 'size'"):
        _ = Array(np.zeros(3)).size
    with pytest.raises(AttributeError, match="no attribute 'data'"):
        _ = object.__new__(Array).data


def test_records_refuse_what_they_refused(as_in_a_worker):
    with pytest.raises(TypeError, match="Key must be of type `str`"):
        MetricRecord({1: 2.0})
    with pytest.raises(TypeError, match="Not all values are of valid type"):
        MetricRecord({"a": True})
    with pytest.raises(TypeError, match="Expected `ArrayRecord`"):
        RecordDict({"a": {"b": 1}})
    with pytest.raises(TypeError, match="received `MetricRecord`"):
        RecordDict().array_records["a"] = MetricRecord()


ARRAY = np.arange(3.0)
MADE = {
    "nothing": lambda: [Kind() for Kind in (ArrayRecord, MetricRecord, ConfigRecord, RecordDict)],
    "arrays": lambda: ArrayRecord({"w": Array(ARRAY), "v": Array(ARRAY + 1)}),
    "arrays of a keyword": lambda: ArrayRecord(array_dict={"w": Array(ARRAY)}),
    "arrays, not kept": lambda: ArrayRecord({"w": Array(ARRAY)}, keep_input=False),
    "ndarrays": lambda: ArrayRecord([ARRAY, ARRAY + 1]),
    "an array of nothing": lambda: Array(),
    "an array of a list": lambda: Array([1.0]),
    "an array of bytes": lambda: Array("float64", (3,), "numpy.ndarray", b"abc"),
    "ndarrays in a dictionary": lambda: ArrayRecord({"w": ARRAY}),
    "arrays with numbers for names": lambda: ArrayRecord({1: Array(ARRAY)}),
    "numbers": lambda: MetricRecord({"a": 1, "b": 2.5}),
    "lists": lambda: MetricRecord({"a": [1, 2], "b": 2.5}),
    "numbers of a keyword": lambda: MetricRecord(metric_dict={"a": 1}),
    "numbers with numbers for names": lambda: MetricRecord({1: 2.0}),
    "truth values": lambda: MetricRecord({"a": True}),
    "NumPy's numbers": lambda: MetricRecord({"a": np.float64(2)}),
    "records": lambda: RecordDict({"x": ArrayRecord([ARRAY]), "y": MetricRecord({"a": 1}), "z": ConfigRecord({})}),
    "records of a keyword": lambda: RecordDict(records={"y": MetricRecord({"a": 1})}),
    "no records": lambda: RecordDict({"y": {"a": 1}}),
    "records with numbers for names": lambda: RecordDict({1: MetricRecord()}),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_records_are_what_they_were_or_fail_as_they_did(make, request):
    def made_or_error():
        try:
            return make()
        except Exception as error:
            return type(error), str(error)

    stock = made_or_error()
    request.getfixturevalue("as_in_a_worker")
    assert made_or_error() == stock


def test_what_a_record_was_made_of_is_another_thing(as_in_a_worker):
    for Kind, items in (
        (ArrayRecord, {"w": Array(ARRAY)}),
        (MetricRecord, {"a": 1}),
        (RecordDict, {"m": MetricRecord()}),
    ):
        record = Kind(items)
        items.clear()
        assert len(record) == 1
        with pytest.raises(TypeError, match=r"Expected|Not all values|must be of type"):
            record["another"] = "text"


def test_views_of_a_record_dict_stay_in_step(as_in_a_worker, caplog):
    arrays, metrics, config = ArrayRecord([np.zeros(2)]), MetricRecord({"a": 1}), ConfigRecord({"b": "c"})
    records = RecordDict({"x": arrays, "y": metrics, "z": config})
    views = (records.array_records, records.metric_records, records.config_records)
    assert [list(view) for view in views] == [["x"], ["y"], ["z"]]
    assert records.array_records["x"] is arrays
    records.metric_records["more"] = MetricRecord({"a": 2})
    assert records["more"]["a"] == 2
    del records.metric_records["more"]
    assert "more" not in records
    with caplog.at_level("WARNING", logger="flwr"):
        records["y"] = config
    assert records["y"] is config


def test_replies_are_what_they_were(request):
    def reply_to(asked, *args, **kwargs):
        reply = Message(*args, reply_to=asked, **kwargs)
        fields = dict(reply.metadata.__dict__)
        assert fields.pop("_created_at") + fields.pop("_ttl") == pytest.approx(asked_until)
        return fields, reply.__dict__["_content"], reply.__dict__["_error"]

    identify(5, 1)
    content, error = RecordDict({"m": MetricRecord({"a": 1})}), Error(1, "why")
    asked = Message(RecordDict(), 7, "train", ttl=100.0, group_id="3")
    asked.metadata.__dict__.update(_message_id="id", _run_id=5, _src_node_id=1, _src_task_id=8, _dst_task_id=9)
    asked_until = asked.metadata.created_at + asked.metadata.ttl
    stock = [reply_to(asked, content), reply_to(asked, error)]
    request.getfixturevalue("as_in_a_worker")
    assert [reply_to(asked, content), reply_to(asked, error)] == stock
    assert reply_to(asked, content=content) == stock[0]
    assert Message(content, 7, "train").metadata.message_type == "train"
    with pytest.raises(TypeError):
        Message("no content", reply_to=asked)
