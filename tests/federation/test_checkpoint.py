import json
import resource
import stat

import numpy as np
import pytest
from flwr.app import RecordDict

from fedray.federation import FederationState, latest_round, load_checkpoint, save_checkpoint, save_round
from fedray.federation.checkpoint import load_server
from fedray.federation.messages import from_record, to_record
from tests.support.rewriting import rewrite


def state(value=1.0, round_index=3):
    return FederationState(to_record({"generator.w": np.full((2, 3), value, np.float32)}), round_index)


def test_a_checkpoint_round_trips_with_dtypes(tmp_path):
    arrays = {"0.exp_avg": np.arange(3.0, dtype=np.float32), "0.step": np.array(7, np.int64)}
    save_checkpoint(tmp_path / "c", state(), {5: RecordDict({"optimizer": to_record(arrays)})})
    loaded, clients = load_checkpoint(tmp_path / "c")
    assert loaded.round_index == 3
    assert np.array_equal(loaded.arrays["generator.w"].numpy(), np.ones((2, 3), np.float32))
    kept = clients[5].array_records["optimizer"]
    assert {name: (array.numpy().tolist(), array.dtype) for name, array in kept.items()} == {
        "0.exp_avg": ([0.0, 1.0, 2.0], "float32"),
        "0.step": (7, "int64"),
    }


def test_arrays_come_back_as_they_were_however_they_lie_in_memory(tmp_path):
    plain = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    laid = {
        "transposed": plain.T,
        "fortran": np.asfortranarray(plain),
        "channels last": plain.transpose(0, 2, 1).copy().transpose(0, 2, 1),
        "sliced": plain[:, ::2],
        "backwards": plain[::-1],
        "broadcast": np.broadcast_to(plain[0], (5, 3, 4)),
        "empty": plain[:, :0],
        "scalar": np.array(7.0, np.float32),
    }
    kept = RecordDict({"optimizer": to_record(laid)})
    save_checkpoint(tmp_path / "c", FederationState(to_record(laid), 1, dict(laid)), {5: kept})
    loaded, clients = load_checkpoint(tmp_path / "c")
    for found in (from_record(loaded.arrays), loaded.optimizer, from_record(clients[5].array_records["optimizer"])):
        for name, value in laid.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
            assert found[name].shape == value.shape


def test_a_new_checkpoint_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    for round_index in (1, 2):
        save_checkpoint(tmp_path / "c", state(round_index=round_index), {})
    assert load_checkpoint(tmp_path / "c")[0].round_index == 2
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_failed_write_leaves_the_old_one(tmp_path):
    save_checkpoint(tmp_path / "c", state(), {})
    broken = FederationState(state().arrays, round_index=object())
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c", broken, {})
    assert load_checkpoint(tmp_path / "c")[0].round_index == 3
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path / "c", state(), {})
    (tmp_path / "c" / "state.json").write_text(json.dumps({"format": 99, "round_index": 1}))
    with pytest.raises(ValueError, match="format 99"):
        load_checkpoint(tmp_path / "c")


def test_a_checkpoint_of_the_format_before_is_opened_but_not_gone_on_with(tmp_path):
    save_checkpoint(tmp_path / "c", state(), {})
    rewrite(tmp_path / "c" / "state.json", lambda header: header.update(format=2))
    with pytest.raises(ValueError, match=r"format 2, .*; go on with the FedRay that started it, or start anew"):
        load_checkpoint(tmp_path / "c")
    arrays, round_index = load_server(tmp_path / "c")
    assert round_index == state().round_index
    assert set(arrays) == set(state().arrays)


def test_rounds_replace_each_other_and_the_newest_is_found(tmp_path):
    assert latest_round(tmp_path / "c") is None
    for round_index in (9, 10):
        save_round(tmp_path / "c", state(round_index=round_index), {})
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["round-00010"]
    assert load_checkpoint(latest_round(tmp_path / "c"))[0].round_index == 10


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path):
    save_round(tmp_path / "c", state(round_index=1), {})
    (tmp_path / "c" / "round-00002.123.tmp").mkdir()
    assert latest_round(tmp_path / "c").name == "round-00001"


def test_a_disk_that_takes_no_more_is_an_error_of_the_system_and_leaves_the_old_one(tmp_path):
    save_round(tmp_path / "kept", state(), {})
    large = FederationState(to_record({"w": np.zeros(100_000, np.float32)}), 4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_round(tmp_path / "kept", large, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename.endswith("server.safetensors")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["round-00003"]
    assert load_checkpoint(tmp_path / "kept" / "round-00003")[0].round_index == 3


def test_checkpoints_are_their_owners_unless_somebody_opens_them(tmp_path):
    def rights():
        return stat.S_IMODE((tmp_path / "run" / "checkpoint").stat().st_mode)

    save_round(tmp_path / "run" / "checkpoint", state(), {})
    assert rights() == 0o700
    (tmp_path / "run" / "checkpoint").chmod(0o750)
    save_round(tmp_path / "run" / "checkpoint", state(round_index=4), {})
    assert rights() == 0o750
