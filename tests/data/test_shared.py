"""Tile stores in S3 (moto's, on loopback): fetched once, by one process, and only what their fingerprint says."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fedray.config import DataConfig
from fedray.data import StoreError, TileStore, check_shared_target, open_store, upload_store, write_store
from fedray.data.shared import fetch_store
from fedray.data.writing import content_fingerprint
from fedray.storage import SharedFolder
from tests.support.small import random_tiles
from tests.support.storage import Bucket


@pytest.fixture
def uri(bucket: Bucket, small_store: TileStore) -> str:
    uri = f"{bucket.uri}/stores/small"
    upload_store(small_store, uri)
    return uri


def test_a_store_by_its_address_is_the_store(uri: str, small_store: TileStore, tmp_path: Path) -> None:
    fetched = fetch_store(uri, tmp_path)
    assert fetched.fingerprint == small_store.fingerprint
    np.testing.assert_array_equal(fetched.tiles(slice(None)), small_store.tiles(slice(None)))
    assert open_store(DataConfig(store=uri)).fingerprint == small_store.fingerprint


def test_many_processes_fetch_it_once(uri: str, bucket: Bucket, tmp_path: Path) -> None:
    before = bucket.count_reads("tiles.arrow")
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: fetch_store(uri, tmp_path), range(8)))
    assert len({store.path for store in stores}) == 1
    assert bucket.count_reads("tiles.arrow") - before == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [stores[0].path.name]


def test_a_store_that_was_replaced_is_fetched_anew(uri: str, tmp_path: Path) -> None:
    first = fetch_store(uri, tmp_path)
    other = write_store(tmp_path / "other", random_tiles(seed=5), label_names=["dark", "bright"])
    upload_store(other, uri)
    assert fetch_store(uri, tmp_path).fingerprint == other.fingerprint != first.fingerprint


def test_damaged_tiles_are_refused_and_leave_nothing(uri: str, small_store: TileStore, tmp_path: Path) -> None:
    content = bytearray((small_store.path / "tiles.arrow").read_bytes())
    image = small_store.tiles([3])[0].tobytes()
    content[content.index(image)] ^= 255  # one pixel: the size is right
    (tmp_path / "tiles.arrow").write_bytes(content)
    SharedFolder(uri).upload(tmp_path, ["tiles.arrow"])
    with pytest.raises(
        StoreError, match=r"s3://\S+ is damaged: the pixels of tiles 0 to \d+ are not .*; upload it again"
    ):
        fetch_store(uri, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.parametrize("batch_rows", [1, 7, None])
def test_the_content_has_the_fingerprint_that_was_written(batch_rows: int | None, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", random_tiles(), label_names=["dark", "bright"], batch_rows=batch_rows)
    assert content_fingerprint(store) == store.fingerprint


def test_a_place_that_cannot_be_written_is_told(bucket: Bucket, small_store: TileStore) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/store cannot be written .*AWS_ACCESS_KEY_ID"):
        upload_store(small_store, "s3://no-such-bucket/store")
    check_shared_target(f"{bucket.uri}/store", overwrite=False)
    upload_store(small_store, f"{bucket.uri}/store")
    with pytest.raises(StoreError, match=r"there is a tile store at \S+ already"):
        check_shared_target(f"{bucket.uri}/store", overwrite=False)
    check_shared_target(f"{bucket.uri}/store", overwrite=True)


def test_what_is_no_store_is_told(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no tile store at s3://\S+ \(no store.json\); .*--upload s3://"):
        fetch_store(f"{bucket.uri}/nothing", tmp_path)
    (tmp_path / "store.json").write_text(json.dumps({"name": "x"}))
    SharedFolder(f"{bucket.uri}/broken").upload(tmp_path, ["store.json"])
    with pytest.raises(StoreError, match="is damaged"):
        fetch_store(f"{bucket.uri}/broken", tmp_path)
    with pytest.raises(StoreError, match=r"there is no tile store at s3://no-such-bucket/store"):
        fetch_store("s3://no-such-bucket/store", tmp_path)
    with pytest.raises(StoreError, match=r"s3://\*\*\*@bucket/store holds credentials"):
        fetch_store("s3://user:secret@bucket/store", tmp_path)
    with pytest.raises(StoreError, match="is no address of shared storage"):
        fetch_store("ftp://host/store", tmp_path)
