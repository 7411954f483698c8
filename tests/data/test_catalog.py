import errno
import os
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from fedray.config import DataConfig
from fedray.data import StoreError, TileStore, cache_dir, open_store, upload_store
from fedray.data.catalog import _check_cache
from fedray.evaluation.cache import Stored, cache_path, load_or_build
from tests.support.dying import Moment, told_of_writes


def test_a_named_store_is_built_once_and_then_read(cache: Path) -> None:
    first = open_store(DataConfig(tile_size=48))
    written = (first.path / "tiles.arrow").stat().st_mtime_ns
    again = open_store(DataConfig(tile_size=48))
    assert first.path.is_relative_to(cache)
    assert (again.path / "tiles.arrow").stat().st_mtime_ns == written
    assert open_store(DataConfig(tile_size=48, num_domains=2)).fingerprint != first.fingerprint


def test_a_damaged_cached_store_is_built_again() -> None:
    first = open_store(DataConfig(tile_size=56))
    (first.path / "tiles.arrow").write_bytes(b"")
    assert open_store(DataConfig(tile_size=56)).fingerprint == first.fingerprint


def test_processes_that_ask_at_once_get_one_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path))
    with get_context("fork").Pool(4) as pool:
        stores = pool.map(open_store, [DataConfig(tile_size=40)] * 4)
    assert len({store.fingerprint for store in stores}) == 1
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "stores").iterdir()) == ["colon", "colon"]


def test_a_path_opens_that_store(store: TileStore) -> None:
    assert open_store(DataConfig(store=str(store.path))).fingerprint == store.fingerprint


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(StoreError, match=r"no 'colom'; did you mean 'colon'\?"):
        open_store(DataConfig(store="colom"))


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b" and cache_dir().is_dir()
    monkeypatch.delenv("FEDRAY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "fedray"
    (tmp_path / "file").touch()
    monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="set FEDRAY_CACHE"):
        cache_dir()


def read_only(moment: Moment) -> None:
    """Refuse a write as a file system does that is mounted to be read."""
    if moment.event != "os.mkdir" or not moment.path.exists():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(moment.path))


def test_a_cache_that_was_filled_may_be_read_only_and_an_empty_one_may_not(
    store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, bucket = tmp_path / "cache", f"file://{tmp_path}/bucket"
    monkeypatch.setenv("FEDRAY_CACHE", str(cache))
    upload_store(store, bucket)
    open_store(DataConfig(store=bucket))
    features = Stored({"features": np.arange(3.0)}, {})
    load_or_build(cache_path("store", "features"), lambda: features)
    _check_cache.cache_clear()
    with told_of_writes(cache, read_only):
        found = open_store(DataConfig(store=bucket))
        np.testing.assert_array_equal(found.tiles(slice(None)), store.tiles(slice(None)))
        assert "features" in load_or_build(cache_path("store", "features"), lambda: pytest.fail("it is there")).arrays
        with pytest.raises(OSError, match="Read-only file system"):  # which jobs say in one line
            load_or_build(cache_path("store", "others"), lambda: features)
    monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    with told_of_writes(tmp_path / "empty", read_only), pytest.raises(StoreError, match=r"Read-only.*set FEDRAY_CACHE"):
        cache_dir()
