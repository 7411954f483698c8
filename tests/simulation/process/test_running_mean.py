import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords, aggregate_metricrecords

from fedray.simulation.process.running_mean import RunningMean
from fedray.simulation.wire.merging import MergeRule

RULE = MergeRule("num-examples", aggregate_metricrecords, with_arrays=True)


def reply(value: float, weight: float = 1, dtype: str = "float32", **changes) -> RecordDict:
    rng = np.random.default_rng(int(value))
    arrays = {"w": rng.normal(size=(3, 4)).astype(dtype) + value, "b": np.array(value), "n": np.array([3, 4])}
    metrics = {"num-examples": weight, "loss": value, "parts": [value, 2 * value], **changes}
    return RecordDict(
        {"arrays": ArrayRecord({name: Array(np.asarray(a)) for name, a in arrays.items()}), "m": MetricRecord(metrics)}
    )


def merge(contents: list[RecordDict], rule: MergeRule = RULE) -> RecordDict:
    mean = RunningMean(rule)
    assert all(mean.add(node_id, content) for node_id, content in enumerate(contents))
    return mean.content()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "int32"])
def test_two_stages_give_what_flowers_average_gives_in_one(dtype):
    contents = [reply(value, weight, dtype) for value, weight in ((1, 10), (2, 1), (3, 999), (4, 5), (5, 0.5))]
    staged = [merge(contents[:2]), merge(contents[2:])]
    tolerance = {"float16": 2e-3, "float32": 1e-6, "complex64": 1e-6}.get(dtype, 1e-12)
    ours, theirs = (aggregate_arrayrecords(records, "num-examples") for records in (staged, contents))
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype
        np.testing.assert_allclose(ours[name].numpy(), theirs[name].numpy(), rtol=tolerance)
    ours, theirs = (aggregate_metricrecords(records, "num-examples") for records in (staged, contents))
    assert ours["loss"] == pytest.approx(theirs["loss"])
    assert ours["parts"] == pytest.approx(theirs["parts"])
    assert merge(contents)["m"]["num-examples"] == 1015.5


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12), ("float16", 2e-3), ("<c8", 1e-6)]
)
def test_large_arrays_are_summed_in_place(dtype, tolerance, order):
    arrays = [np.random.default_rng(i).uniform(1, 2, (400, 401)).astype(dtype, order=order) for i in range(3)]
    records = [
        RecordDict({"a": ArrayRecord([array]), "m": MetricRecord({"num-examples": i + 1})})
        for i, array in enumerate(arrays)
    ]
    expected = sum((i + 1) * array.astype("c16" if dtype == "<c8" else "f8") for i, array in enumerate(arrays)) / 6
    merged = merge(records)["a"]["0"].numpy()
    assert merged.dtype == dtype
    np.testing.assert_allclose(merged, expected, rtol=tolerance)


def test_half_precision_sums_do_not_overflow():
    contents = [reply(100, 5000, "float16") for _ in range(20)]
    assert np.isfinite(merge(contents)["arrays"]["w"].numpy()).all()


@pytest.mark.parametrize(
    "odd",
    [
        reply(2, weight=0),
        reply(2, weight=-1),
        reply(2, weight=float("nan")),
        reply(2, weight=float("inf")),
        reply(2, extra=1.0),
        reply(2, parts=[1.0]),
        reply(2, dtype="float64"),
        RecordDict({"arrays": reply(2)["arrays"]}),
        RecordDict({**reply(2), "more": ArrayRecord()}),
        RecordDict({"other": reply(2)["arrays"], "m": reply(2)["m"]}),
        RecordDict({"arrays": ArrayRecord([np.zeros(2)]), "m": reply(2)["m"]}),
    ],
)
def test_a_reply_unlike_the_others_stands_alone(odd):
    mean = RunningMean(RULE)
    assert mean.add(2, reply(1))
    assert not mean.add(3, odd)
    assert mean.node_ids == [2]
    np.testing.assert_array_equal(mean.content()["arrays"]["w"].numpy(), reply(1)["arrays"]["w"].numpy())


def test_replies_without_arrays_merge_for_evaluation():
    rule = MergeRule("num-examples", aggregate_metricrecords, with_arrays=False)
    contents = [RecordDict({"m": reply(value, value)["m"]}) for value in (1, 3)]
    merged = merge(contents, rule)
    assert merged["m"]["loss"] == pytest.approx(2.5)
    assert not merged.array_records
    assert not RunningMean(rule).add(2, reply(1))
