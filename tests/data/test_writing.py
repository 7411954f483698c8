import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedray.data import StoreError, Tile, TileStore, write_store

NAMES = {"label_names": ["a", "b"], "domain_names": ["x", "y"]}


def test_the_fingerprint_depends_on_the_content_alone(store: TileStore, tiles: list[Tile], tmp_path: Path) -> None:
    same = write_store(tmp_path / "elsewhere", tiles, **NAMES, name="other", source="other", batch_rows=3)
    assert same.fingerprint == store.fingerprint
    assert len(store.fingerprint) == 32


@pytest.mark.parametrize("change", ["pixel", "label", "domain", "group", "split", "order", "names"])
def test_every_change_of_content_changes_the_fingerprint(
    store: TileStore, tiles: list[Tile], tmp_path: Path, change: str
) -> None:
    names, last = NAMES, tiles[-1]
    if change == "pixel":
        image = last.image.copy()
        image[-1, -1, -1] ^= 1
        tiles[-1] = last._replace(image=image)
    elif change == "order":
        tiles.reverse()
    elif change == "names":
        names = NAMES | {"label_names": ["a", "c"]}
    else:
        tiles[-1] = last._replace(**{change: {"label": 0, "domain": 0, "group": "p9", "split": "train"}[change]})
    assert write_store(tmp_path / "changed", tiles, **names).fingerprint != store.fingerprint


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tiles: list[Tile], tmp_path: Path, error: type[BaseException]) -> None:
    def interrupted() -> Iterator[Tile]:
        yield from tiles[:5]
        raise error

    with pytest.raises(error):
        write_store(tmp_path / "store", interrupted(), **NAMES, batch_rows=2)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_overwrite_keeps_the_old_store(store: TileStore, tiles: list[Tile]) -> None:
    def interrupted() -> Iterator[Tile]:
        yield tiles[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_store(store.path, interrupted(), **NAMES, overwrite=True)
    assert TileStore.open(store.path).fingerprint == store.fingerprint
    assert [path.name for path in store.path.parent.iterdir()] == ["store"]


def _write_and_hang(path: Path, tiles: list[Tile]) -> None:
    def hanging() -> Iterator[Tile]:
        yield from tiles[:5]
        path.with_name("reached").touch()
        time.sleep(60)

    write_store(path, hanging(), **NAMES, batch_rows=2)


def test_a_killed_writer_leaves_no_store_and_does_not_block_the_next(tiles: list[Tile], tmp_path: Path) -> None:
    path = tmp_path / "store"
    writer = multiprocessing.get_context("fork").Process(target=_write_and_hang, args=(path, tiles))
    writer.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "reached").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(StoreError, match="another process is writing"):
        write_store(path, tiles, **NAMES)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert not path.exists()
    assert len(write_store(path, tiles, **NAMES)) == 10
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["reached", "store"]


def test_a_store_is_replaced_only_on_request(store: TileStore, tiles: list[Tile]) -> None:
    with pytest.raises(StoreError, match=r"exists already; .*--overwrite"):
        write_store(store.path, tiles[:6], **NAMES)
    assert len(write_store(store.path, tiles[:6], **NAMES, overwrite=True)) == 6
    assert len(store.tiles(slice(None))) == 10, "a store that is open goes on reading the old file"
    assert [path.name for path in store.path.parent.iterdir()] == ["store"]


def test_what_lies_in_a_store_is_never_deleted_with_it(store: TileStore, tiles: list[Tile]) -> None:
    (store.path / ".DS_Store").touch()
    (store.path / "photos").mkdir()
    (store.path / "photos" / "0.png").touch()
    with pytest.raises(StoreError, match=r"holds 'photos' beside its store, which --overwrite would delete; move it"):
        write_store(store.path, tiles[:6], **NAMES, overwrite=True)
    assert (store.path / "photos" / "0.png").exists()
    (store.path / "photos").rename(store.path.with_name("photos"))
    assert len(write_store(store.path, tiles[:6], **NAMES, overwrite=True)) == 6


def test_what_is_no_store_is_never_overwritten(tiles: list[Tile], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    with pytest.raises(StoreError, match="not a tile store, so it is not overwritten"):
        write_store(tmp_path / "thesis", tiles, **NAMES, overwrite=True)


def test_no_tile_and_unequal_tiles_are_errors(tiles: list[Tile], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="at least 1 tile"):
        write_store(tmp_path / "store", [], **NAMES)
    tiles[3] = tiles[3]._replace(image=np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(StoreError, match=r"3\.png is uint8 \(8, 8, 3\)"):
        write_store(tmp_path / "store", tiles, **NAMES)
    assert list(tmp_path.iterdir()) == []
