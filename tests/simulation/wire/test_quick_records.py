"""In a worker, Flower's records and replies must be what they are elsewhere, whatever they are made of."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict

from fedray.simulation.wire.arrays import share
from fedray.simulation.wire.runs import identify


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
    "a state dict": lambda: ArrayRecord(torch.nn.BatchNorm1d(3).state_dict()),
    "parameters": lambda: ArrayRecord({"w": torch.nn.Parameter(torch.arange(3.0)), "n": torch.tensor(2)}),
    "tensors that are views": lambda: ArrayRecord(
        {
            "transposed": torch.arange(6.0).reshape(2, 3).T,
            "expanded": torch.ones(1, 3).expand(2, 3),
            "strided": torch.arange(9)[::2],
            "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(1, 0, 2),
            "empty": torch.empty(0, 3, dtype=torch.float16),
            "complex": torch.tensor([1 + 2j]),
        }
    ),
    "tensors of a keyword": lambda: ArrayRecord(torch_state_dict={"w": torch.arange(3.0)}),
    "tensors, not kept": lambda: ArrayRecord({"w": torch.arange(3.0)}, keep_input=False),
    "tensors that NumPy has not": lambda: ArrayRecord({"w": torch.ones(2, dtype=torch.bfloat16)}),
    "tensors of a class of one's own": lambda: ArrayRecord({"w": torch.nn.UninitializedParameter()}),
    "tensors and arrays": lambda: ArrayRecord({"w": torch.ones(2), "v": Array(ARRAY)}),
    "tensors with numbers for names": lambda: ArrayRecord({1: torch.ones(2)}),
    "arrays in an ordered dictionary": lambda: ArrayRecord(OrderedDict(w=Array(ARRAY))),
    "numbers in an ordered dictionary": lambda: MetricRecord(OrderedDict(a=1)),
    "nothing, said so": lambda: [ArrayRecord(None), ArrayRecord({}), MetricRecord(None), RecordDict(None)],
    "too much": lambda: ArrayRecord({}, {}),
    "what is not there": lambda: MetricRecord({"a": 1})["b"],
    "looked up in all ways": lambda: [
        (list(r), len(r), "a" in r, [*r.keys()], [*r.values()], [*r.items()], r.get("b", 7), r.pop("a"), len(r))
        for r in (MetricRecord({"a": 1}), ConfigRecord({"a": "x"}), RecordDict({"a": MetricRecord({"c": 2.0})}))
    ],
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


def test_a_state_dict_is_a_snapshot_that_goes_back(as_in_a_worker):
    network = torch.nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    record = ArrayRecord(network.state_dict())
    with torch.no_grad():
        network.weight.add_(1)
    again = record.to_torch_state_dict()
    assert list(again) == list(before) and all(torch.equal(again[name], before[name]) for name in before)
    again["bias"].fill_(9)  # one's own
    assert torch.equal(record.to_torch_state_dict()["bias"], before["bias"])


def test_a_quickstarts_client_takes_none_of_the_slow_ways(as_in_a_worker, monkeypatch):
    def slow(*args, **kwargs):
        pytest.fail("a slow way")

    identify(5, 1)
    asked = Message(RecordDict({"arrays": ArrayRecord({"w": torch.ones(3)})}), 7, "train")
    for owner, name in ((np, "save"), (np, "load"), (ArrayRecord, "from_torch_state_dict"), (Metadata, "__init__")):
        monkeypatch.setattr(owner, name, slow)
    state = asked.content["arrays"].to_torch_state_dict()
    arrays, metrics = ArrayRecord({"w": state["w"] + 1}), MetricRecord({"loss": 0.5, "num-examples": 3})
    reply = Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=asked)
    np.testing.assert_array_equal(share(reply.content)["arrays"]["w"].view(), np.full(3, 2, np.float32))


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
    assert reply_to(asked, error=error) == stock[1]
    with pytest.raises(TypeError):
        Message(content, content=content, reply_to=asked)
    assert Message(content, 7, "train").metadata.message_type == "train"
    with pytest.raises(TypeError):
        Message("no content", reply_to=asked)
