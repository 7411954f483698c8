"""In a worker, Flower's arrays must be what they are elsewhere, for whatever an app does with them."""

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, RecordDict

from fedray.simulation import SharedArray
from fedray.simulation.wire.arrays import ndarray_of, share

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


def test_no_bytes_are_made_or_read_unless_they_are_asked_for(as_in_a_worker, monkeypatch):
    for name in ("save", "load"):
        monkeypatch.setattr(np, name, lambda *args, **kwargs: pytest.fail("through .npy bytes"))
    ndarray = np.arange(3.0)
    for array in (Array(ndarray), Array.from_torch_tensor(torch.from_numpy(ndarray)), ArrayRecord([ndarray])["0"]):
        mine = array.numpy()
        np.testing.assert_array_equal(mine, ndarray)
        mine[:] = 7  # as Flower's, a copy of one's own
        np.testing.assert_array_equal(array.numpy(), ndarray)
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
