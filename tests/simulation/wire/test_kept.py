"""States that refer to what is in the object store, against states that are packed whole."""

import pickle

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedray.simulation.wire.arrays import SharedArray, fresh, share
from fedray.simulation.wire.kept import StoredArrays, in_one, pack_state, unpack_state


def content(seed: int = 0, **sizes: int) -> RecordDict:
    """As it comes out of the object store: arrays of other kinds and orders, one of them empty, one of no dimension."""
    random = np.random.default_rng(seed)
    arrays = {name: SharedArray(random.integers(0, 255, size, np.uint8)) for name, size in sizes.items()}
    arrays["columns"] = SharedArray(np.asfortranarray(random.normal(size=(3, 4))))
    arrays["one"] = SharedArray(np.array(7))
    arrays["none"] = SharedArray(np.empty((0, 3)))
    record = ArrayRecord()
    for name, array in arrays.items():
        record[name] = array
    return RecordDict({"tiles": record, "config": ConfigRecord({"text": "words"})})


def state_with(*records: RecordDict, own: int = 5) -> RecordDict:
    state = RecordDict({f"kept-{number}": each["tiles"] for number, each in enumerate(records)})
    state["own"] = ArrayRecord({"w": Array(np.arange(own))})
    state["metrics"] = MetricRecord({"n": 3})
    return share(state)


def travelled(packed):
    """Through the object store, as Ray does it: out of band."""
    buffers: list = []
    data = pickle.dumps(packed, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


@pytest.mark.parametrize("small", [False, True])
def test_what_a_state_keeps_of_messages_comes_back_and_is_not_written(small):
    first, second, unread = content(0, a=5000, b=300), content(1, a=9000), content(2, a=100)
    stored = {4: StoredArrays(first), 2: StoredArrays(second), 9: StoredArrays(unread)}
    state = state_with(fresh(first), fresh(second))  # records of its own, the same memory
    packed, sources = pack_state(state, stored)
    assert sources == (2, 4) and packed.nbytes < 2500
    if small:
        packed = in_one(state, packed)
    opened = unpack_state(travelled(packed), [stored[number] for number in sources])
    assert opened == state
    assert np.shares_memory(opened["kept-0"]["a"].view(), first["tiles"]["a"].view())
    assert not opened["kept-0"]["a"].view().flags.writeable


def test_a_state_that_keeps_nothing_is_packed_whole():
    stored = {0: StoredArrays(content(a=5000))}
    state = state_with(own=1000)
    packed, sources = pack_state(state, stored)
    assert sources == () and packed.nbytes > 8000
    assert unpack_state(travelled(packed), []) == state == unpack_state(travelled(in_one(state, packed)), [])


def test_a_copy_and_a_part_of_an_array_are_the_states_own():
    sent = content(a=5000)
    array = sent["tiles"]["a"]
    parts = {"copy": SharedArray(array.numpy()), "half": SharedArray(array.view()[:2500])}
    record = ArrayRecord()
    for name, part in parts.items():
        record[name] = part
    packed, sources = pack_state(RecordDict({"parts": record}), {0: StoredArrays(sent)})
    assert sources == () and packed.nbytes > 7500


@pytest.mark.parametrize(("size", "referred"), [(4000, True), (2000, False)])
def test_an_object_stays_in_the_store_for_half_of_its_bytes_at_least(size, referred):
    sent = content(kept=size, left=3000)
    record = ArrayRecord()
    record["kept"] = sent["tiles"]["kept"]
    packed, sources = pack_state(RecordDict({"some": record}), {0: StoredArrays(sent)})
    assert sources == ((0,) if referred else ()) and (packed.nbytes < size) == referred
