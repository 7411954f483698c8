"""What all machines must have in common: one extractor, kept with the results, and one tile store."""

import shutil

import pytest

from fedray.data import StoreError, local_store, write_store
from fedray.evaluation.extractors import lite0
from fedray.experiment import prepare_judge, settled
from fedray.experiment.prepare import check_tiles, keep_evaluation
from tests.support.small import random_tiles


@pytest.mark.usefixtures("ray_session")
def test_another_machine_goes_on_with_the_extractor_of_the_start(small_config, tmp_path, monkeypatch):
    config = settled(small_config())
    first, prepared = prepare_judge(config, tmp_path / "run")
    keep_evaluation(prepared, tmp_path / "run")
    monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path / "another machine"))

    def measure(network, store):
        raise AssertionError("there is one in the folder")

    monkeypatch.setattr(lite0, "measure", measure)
    again, _ = prepare_judge(config, tmp_path / "run")
    assert again.extractor.identity == first.extractor.identity
    assert again.floor == first.floor
    with pytest.raises(AssertionError, match="there is one"):
        monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path / "a third"))
        prepare_judge(config)


def test_a_node_with_other_tiles_is_refused(small_config, tmp_path):
    store = write_store(tmp_path / "store", random_tiles(), label_names=["dark", "bright"])
    config = settled(small_config(data__store=str(store.path)))
    check_tiles([None, store.fingerprint], config.data)
    shutil.rmtree(store.path)
    other = write_store(store.path, random_tiles(seed=1), label_names=["dark", "bright"])
    local_store.cache_clear()  # as in a process of another node
    with pytest.raises(StoreError) as refused:
        check_tiles([None, store.fingerprint], config.data)
    expected = f"has the fingerprint {other.fingerprint}, but the run was started on {store.fingerprint}"
    assert expected in str(refused.value) and "shared storage" in str(refused.value)
