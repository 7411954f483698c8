import copy
import pickle

import numpy as np
import pytest
import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from fedray.simulation import SharedArray
from fedray.simulation.wire.arrays import share

NDARRAYS = {
    "float32": np.arange(12, dtype=np.float32).reshape(3, 4),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 3), np.float32),
    "bool": np.array([True, False]),
    "int64 of no dimension": np.array(7),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(20.0)[::2],
    "part of a fortran one": np.asfortranarray(np.arange(12.0).reshape(4, 3))[::2],
    "broadcast": np.broadcast_to(np.arange(3.0), (2, 3)),
    "transposed view": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "big-endian": np.arange(4, dtype=">f4"),
    "half": np.ones((2, 2), np.float16),
    "structured": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
}
each_ndarray = pytest.mark.parametrize("ndarray", NDARRAYS.values(), ids=NDARRAYS.keys())


def shared(array: Array) -> Array:
    record = ArrayRecord()
    record["w"] = array  # ArrayRecord({"w": array}) would copy it
    return share(RecordDict({"arrays": record}))["arrays"]["w"]


@each_ndarray
@pytest.mark.parametrize("make", [SharedArray, SharedArray.from_numpy_ndarray, lambda x: shared(Array(x))])
def test_equals_the_array_of_flower(ndarray, make):
    array, stock = make(ndarray), Array(ndarray)
    assert isinstance(array, SharedArray)
    assert (array.dtype, array.shape, array.stype) == (stock.dtype, stock.shape, stock.stype)
    assert array.data == stock.data
    assert array.deflate() == stock.deflate()
    assert array.object_id == stock.object_id
    assert array == stock
    assert stock == array
    np.testing.assert_array_equal(array.numpy(), ndarray)


@each_ndarray
def test_survives_pickle_and_copy(ndarray):
    array = SharedArray(ndarray)
    for again in (pickle.loads(pickle.dumps(array)), copy.deepcopy(array), pickle.loads(pickle.dumps(array, 5))):
        assert isinstance(again, SharedArray) == ndarray.dtype.isnative
        assert again == Array(ndarray)


def test_pickles_out_of_band():
    ndarray = np.random.default_rng(0).normal(size=(256, 256))
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(SharedArray(ndarray), protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 1000
    assert [buffer.raw().nbytes for buffer in buffers] == [ndarray.nbytes]
    np.testing.assert_array_equal(pickle.loads(pickled, buffers=buffers).numpy(), ndarray)


def test_numpy_is_a_writable_copy_and_view_is_neither():
    array = SharedArray(np.zeros(3))
    array.numpy()[:] = 1
    np.testing.assert_array_equal(array.numpy(), np.zeros(3))
    assert np.shares_memory(array.view(), array.view())
    with pytest.raises(ValueError, match="read-only"):
        array.view()[:] = 1


def test_making_one_leaves_the_callers_array_writable():
    ndarray = np.zeros(3)
    SharedArray(ndarray)
    ndarray[:] = 1


def test_assigned_bytes_take_precedence():
    array, other = SharedArray(np.zeros(3)), Array(np.arange(2.0))
    before = array.object_id
    array.data, array.shape = other.data, other.shape
    np.testing.assert_array_equal(array.numpy(), np.arange(2.0))
    np.testing.assert_array_equal(array.view(), np.arange(2.0))
    assert array == other
    assert array.object_id == other.object_id != before
    assert pickle.loads(pickle.dumps(array)) == other


def test_python_objects_are_refused():
    with pytest.raises(ValueError, match="dtype object"):
        SharedArray(np.array([object()]))


def test_share_leaves_alone_what_is_not_npy():
    odd = Array(dtype="float32", shape=(2,), stype="my.format", data=b"12345678")
    broken = Array(dtype="float32", shape=(2,), stype="numpy.ndarray", data=b"not npy")
    mislabelled = Array(dtype="float32", shape=(7,), stype="numpy.ndarray", data=Array(np.zeros(3)).data)
    for array in (odd, broken, mislabelled):
        assert shared(array) is array


def test_share_keeps_records_and_their_order():
    content = RecordDict(
        {
            "m": MetricRecord({"loss": 0.5}),
            "b": ArrayRecord({"z": Array(np.ones(2)), "a": Array(np.zeros(2))}),
            "c": ConfigRecord({"x": b"1"}),
        }
    )
    shared = share(content)
    assert shared == content
    assert list(shared) == ["m", "b", "c"]
    assert list(shared["b"]) == ["z", "a"]
    assert shared.object_id == content.object_id
    assert type(content["b"]["z"]) is Array
    assert get_all_nested_objects(shared).keys() == get_all_nested_objects(content).keys()


def test_ray_hands_out_the_same_memory_without_a_copy(ray_session):
    reference = ray.put(share(RecordDict({"arrays": ArrayRecord([np.ones(1_000_000)])})))
    first, second = (ray.get(reference)["arrays"]["0"] for _ in range(2))
    assert first.view().ctypes.data == second.view().ctypes.data
    first.numpy()[:] = 2
    assert second.numpy().max() == 1
