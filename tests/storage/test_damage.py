"""One bit of whatever is kept: it reads as it was, or is an error that says which file; it is never another number."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedray.data import StoreError, TileStore, write_store
from fedray.data.shared import copy_or_make, fetch_store, upload_store
from fedray.errors import UserError
from fedray.evaluation.cache import Stored, install_files, load_or_build
from fedray.experiment.engines.base import checkpoint_of
from fedray.federation import FederationState, load_checkpoint, load_round, save_checkpoint, save_round
from fedray.federation.messages import from_record, to_record
from fedray.storage import digest, parquet_bytes, read_table, sealed, unsealed, write_whole
from tests.support.small import random_tiles


def flipped(content: bytes, place: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= 1 << place % 8
    return bytes(damaged)


def record(folder: Path) -> Callable[[], Any]:
    (folder / "a.json").write_bytes(sealed({"scores": {"fid": 1.5, "kid": float("inf")}, 3: ["ß", None]}))
    return lambda: unsealed((folder / "a.json").read_bytes(), folder / "a.json")


def table(folder: Path) -> Callable[[], Any]:
    frame = pd.DataFrame({"round": [1, 2, 3], "fid": [0.1, np.nan, 3e52], "trial": ["a", "b", None]})
    write_whole(folder / "a.parquet", parquet_bytes(frame))
    pd.testing.assert_frame_equal(read_table(folder / "a.parquet"), frame)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "a.parquet"), frame)  # as users read it
    return lambda: read_table(folder / "a.parquet").to_dict("list")


def checkpoint(folder: Path) -> Callable[[], Any]:
    state = FederationState(to_record({"w": np.arange(6, dtype=np.float32)}), 3, {"m": np.ones(2)})
    save_checkpoint(folder / "c", state, {})

    def read() -> Any:
        found = load_checkpoint(folder / "c").state
        return from_record(found.arrays), found.round_index, found.optimizer, found.validation

    return read


def store(folder: Path) -> Callable[[], Any]:
    write_store(folder / "s", random_tiles(6), label_names=["dark", "bright"], source="noise", batch_rows=4)

    def read() -> Any:
        found = TileStore.open(folder / "s")
        codes = (found.labels, found.domains, found.groups, found.splits, found.clients)
        names = (found.name, found.source, found.label_names, found.group_names, found.sources(range(len(found))))
        return found.tiles(slice(None)), codes, names, found.fingerprint

    return read


@pytest.mark.parametrize("kept", [record, table, checkpoint, store], ids=lambda kept: kept.__name__)
def test_a_bit_is_seen_or_changes_nothing(kept, tmp_path):
    read = kept(tmp_path)
    expected, seen = repr(read()), 0
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        for place in np.unique(np.linspace(0, len(content) - 1, 150).astype(int)).tolist():
            path.write_bytes(flipped(content, place))
            try:
                assert repr(read()) == expected, (path.name, place)
            except (UserError, ValueError, KeyError, TypeError) as error:
                seen += 1
                assert isinstance(error, UserError | ValueError | KeyError), repr(error)
        path.write_bytes(content)
    assert seen > 50
    assert repr(read()) == expected


def test_half_of_the_pixels_are_compared_when_they_are_read(tmp_path):
    made = write_store(tmp_path / "s", random_tiles(8), label_names=["dark", "bright"], batch_rows=4)
    content = bytearray((tmp_path / "s" / "tiles.arrow").read_bytes())
    begin = content.index(made.tiles([6]).tobytes())
    content[begin : begin + made.tiles([6]).nbytes] = bytes(made.tiles([6]).nbytes)
    (tmp_path / "s" / "tiles.arrow").write_bytes(content)
    found = TileStore.open(tmp_path / "s")
    np.testing.assert_array_equal(found.tiles([0, 3]), made.tiles([0, 3]))
    for read in (lambda: found.tiles([1, 6]), lambda: found.tiles(slice(4, 8)), found.check_pixels):
        with pytest.raises(StoreError, match="the pixels of tiles 4 to 7 are not what was written"):
            read()


def test_a_damaged_copy_is_fetched_again_with_one_warning(tmp_path, caplog):
    made = write_store(tmp_path / "s", random_tiles(8), label_names=["dark", "bright"])
    upload_store(made, f"file://{tmp_path}/bucket")
    copy = fetch_store(f"file://{tmp_path}/bucket", tmp_path / "cache").path
    for file in ("tiles.arrow", "store.json"):
        content = (copy / file).read_bytes()
        (copy / file).write_bytes(flipped(content, len(content) // 2))
        with caplog.at_level(logging.WARNING):
            again = fetch_store(f"file://{tmp_path}/bucket", tmp_path / "cache")
        np.testing.assert_array_equal(again.tiles(slice(None)), made.tiles(slice(None)))
        assert [entry.getMessage() for entry in caplog.records] == [
            f"the tile store {copy} in the cache is damaged, and is made again"
        ]
        caplog.clear()


def with_zeroed_pixels(path: Path) -> None:
    """Zero the pixels of the last tiles of a store, as a disk may."""
    pixels = TileStore.open(path).tiles([6]).tobytes()
    content = (path / "tiles.arrow").read_bytes()
    (path / "tiles.arrow").unlink()  # a new file: what has mapped the old one keeps it
    (path / "tiles.arrow").write_bytes(content.replace(pixels, bytes(len(pixels))))


@pytest.mark.parametrize("cached", ["fetched", "built"])
def test_pixels_of_a_large_cached_store_are_made_again_when_they_are_read(tmp_path, monkeypatch, caplog, cached):
    monkeypatch.setattr("fedray.data.shared.CHECKED_BYTES", 0)
    made = write_store(tmp_path / "s", random_tiles(8), label_names=["dark", "bright"], batch_rows=4)
    upload_store(made, f"file://{tmp_path}/bucket")
    copy = tmp_path / "cache" / made.fingerprint

    def build() -> TileStore:
        return write_store(copy, random_tiles(8), label_names=["dark", "bright"], batch_rows=4, overwrite=True)

    def opened() -> TileStore:
        return (
            fetch_store(f"file://{tmp_path}/bucket", copy.parent) if cached == "fetched" else copy_or_make(copy, build)
        )

    opened()
    with_zeroed_pixels(copy)
    stores = [opened(), opened()]  # of two processes
    with caplog.at_level(logging.WARNING):
        for store in stores:
            np.testing.assert_array_equal(store.tiles([0, 6]), made.tiles([0, 6]))
            np.testing.assert_array_equal(store.tiles(slice(None)), made.tiles(slice(None)))
    assert [entry.getMessage() for entry in caplog.records] == [
        f"the tile store {copy} in the cache is damaged, and is made again"
    ]
    TileStore.open(copy).check_pixels()


def test_a_cached_store_that_cannot_be_made_again_alike_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("fedray.data.shared.CHECKED_BYTES", 0)
    copy, seeds = tmp_path / "cache" / "x", iter((0, 5))

    def build() -> TileStore:
        tiles = random_tiles(8, seed=next(seeds))
        return write_store(copy, tiles, label_names=["dark", "bright"], batch_rows=4, overwrite=True)

    copy_or_make(copy, build)
    with_zeroed_pixels(copy)
    with pytest.raises(StoreError, match="was damaged, and is another one now that it was made again"):
        copy_or_make(copy, build).tiles([6])


def test_a_damaged_cached_reference_is_built_again_with_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FEDRAY_CACHE", str(tmp_path))
    path, built = tmp_path / "evaluation" / "x.safetensors", []

    def build() -> Stored:
        built.append(1)
        return Stored({"features": np.arange(50.0), "none": np.empty((0, 3)), "one": np.array(1.5)}, {"floor": "{}"})

    def read() -> str:
        found = load_or_build(path, build)
        return repr((sorted(found.arrays.items()), found.metadata))

    expected = read()
    whole = path.read_bytes()
    places = np.linspace(8, len(whole) - 1, 60).astype(int).tolist()
    with caplog.at_level(logging.WARNING):
        for place in places:
            path.write_bytes(flipped(whole, place))
            assert read() == expected, place
    assert len(built) > 50 and len(caplog.records) == len(built) - 1
    assert "is damaged, or an older FedRay's, and is built again" in caplog.text
    path.write_bytes(flipped(whole, places[-1]))
    install_files({"evaluation/x.safetensors": whole})
    assert path.read_bytes() == whole, "another machine's takes its place"


def test_a_checkpoint_of_another_run_of_the_same_shapes_is_refused(tmp_path, small_config):
    config = small_config()
    for seed in (0, 1):
        run = checkpoint_of(config.model_copy(update={"seed": seed}))
        save_round(tmp_path / str(seed), FederationState(to_record({"w": np.full(2, float(seed))}), 1), {}, run)
    shutil.copytree(tmp_path / "1", tmp_path / "0", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="is a checkpoint of a run with another configuration"):
        load_round(tmp_path / "0", checkpoint_of(config.model_copy(update={"seed": 0})))
    moved = config.model_copy(update={"data": config.data.model_copy(update={"store": "/elsewhere"})})
    more = moved.model_copy(update={"resources": moved.resources.model_copy(update={"num_workers": 3})})
    assert checkpoint_of(more) == checkpoint_of(config), "who computes, and where tiles lie, change nothing"


def test_what_was_written_before_there_were_digests_is_read(tmp_path):
    frame = pd.DataFrame({"round": [1, 2]})
    frame.to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet"), frame)
    assert unsealed(json.dumps({"a": 1}).encode(), "a") == {"a": 1}


def test_the_digest_is_sha256():
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223"
