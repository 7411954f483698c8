import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fedray.data import StoreError, Tile, TileStore, write_store
from fedray.data.writing import content_fingerprint
from tests.support.rewriting import rewrite


def test_a_store_gives_back_what_was_written(store: TileStore, tiles: list[Tile]) -> None:
    images = np.stack([tile.image for tile in tiles])
    assert len(store) == 10
    assert (store.tile_size, store.channels, store.source, store.name) == (16, 3, "noise", "store")
    assert (store.label_names, store.domain_names) == (("a", "b"), ("x", "y"))
    np.testing.assert_array_equal(store.tiles(slice(None)), images)
    np.testing.assert_array_equal(store.labels, [tile.label for tile in tiles])
    np.testing.assert_array_equal(store.domains, [tile.domain for tile in tiles])
    np.testing.assert_array_equal(store.splits, [tile.split for tile in tiles])
    assert [store.group_names[code] for code in store.groups] == [tile.group for tile in tiles]
    assert store.sources([7, 2]) == ["7.png", "2.png"]
    assert store.labels.dtype == store.domains.dtype == store.groups.dtype == np.int64
    np.testing.assert_array_equal(store.indices("train"), np.arange(6))
    np.testing.assert_array_equal(store.indices("test"), np.arange(6, 10))


def test_tiles_gathers_in_any_order_over_batches(store: TileStore, tiles: list[Tile]) -> None:
    order = [9, 0, 4, 4, 3, 8]
    np.testing.assert_array_equal(store.tiles(order), np.stack([tiles[i].image for i in order]))
    np.testing.assert_array_equal(store.tiles(np.arange(2, 7)), np.stack([tile.image for tile in tiles[2:7]]))
    assert store.tiles([]).shape == (0, 16, 16, 3)


def test_consecutive_tiles_of_a_batch_are_read_only_views_of_the_map(store: TileStore) -> None:
    view = store.tiles(np.arange(4, 7))
    assert np.shares_memory(view, store.tiles(slice(4, 8)))
    assert not view.flags.writeable and not view.flags.owndata
    with Path("/proc/self/maps").open() if Path("/proc/self/maps").exists() else pytest.skip("needs /proc") as maps:
        mapped = [line.split("-") for line in maps if "tiles.arrow" in line]
    address = view.__array_interface__["data"][0]
    assert any(int(low, 16) <= address < int(rest[0].split()[0], 16) for low, *rest in mapped)


@pytest.mark.parametrize("indices", [[10], [-1], [0, 99]])
def test_an_index_outside_the_store_is_an_error(store: TileStore, indices: list[int]) -> None:
    with pytest.raises(IndexError, match=r"\[0, 10\)"):
        store.tiles(indices)


def test_a_mask_is_no_index(store: TileStore) -> None:
    with pytest.raises(TypeError, match="must be integers"):
        store.tiles(store.labels == 1)


def test_an_unknown_split_is_an_error(store: TileStore) -> None:
    with pytest.raises(ValueError, match="'val'"):
        store.indices("val")


def test_a_store_pickles_as_its_path(store: TileStore) -> None:
    pickled = pickle.dumps(store)
    assert len(pickled) < 500
    again = pickle.loads(pickled)
    assert again.fingerprint == store.fingerprint
    np.testing.assert_array_equal(again.tiles([1, 8]), store.tiles([1, 8]))


def test_every_way_of_not_being_a_store_is_named(store: TileStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no tile store at"):
        TileStore.open(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file"):
        with pytest.raises(StoreError, match="is not a tile store"):
            TileStore.open(path)


def test_another_format_version_is_refused(store: TileStore) -> None:
    _edit(store, format_version=7)
    message = r"version 7, but this FedRay reads the versions 1 and 2; run jobs/prepare_data\.py"
    with pytest.raises(StoreError, match=message):
        TileStore.open(store.path)


def test_a_store_of_version_1_is_read_as_it_was(store: TileStore) -> None:
    """It has no column client, and does not say what its groups are."""
    metadata = json.loads((store.path / "store.json").read_text())
    del metadata["client_names"], metadata["group_kind"], metadata["digests"], metadata["seal"], metadata["sealed"]
    with pa.memory_map(str(store.path / "tiles.arrow")) as source:
        table = pa.ipc.open_file(source).read_all().drop_columns(["client"])
    with pa.OSFile(str(store.path / "old.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=metadata["batch_rows"])
    (store.path / "old.arrow").rename(store.path / "tiles.arrow")
    size = (store.path / "tiles.arrow").stat().st_size
    (store.path / "store.json").write_text(json.dumps(metadata | {"format_version": 1, "num_bytes": size}))
    old = TileStore.open(store.path)
    np.testing.assert_array_equal(old.tiles([1, 8]), store.tiles([1, 8]))
    assert (old.group_kind, old.client_names, old.clients.tolist()) == ("patient", (), [-1] * 10)
    assert content_fingerprint(old) == old.fingerprint == "a545f0def6d4176ef69c8236788a4cf8", "as it was in version 1"


def test_clients_and_the_kind_of_the_groups_are_kept(tiles: list[Tile], tmp_path: Path) -> None:
    names = ["north", "", "south", "north"]
    named = [tile._replace(client=names[i % 4]) for i, tile in enumerate(tiles)]
    made = write_store(tmp_path / "named", named, label_names=["a", "b"], domain_names=["x", "y"],
                       group_kind="region", batch_rows=3)  # fmt: skip
    assert made.client_names == ("north", "south") and made.group_kind == "region"
    assert made.clients.tolist() == [0, -1, 1, 0, 0, -1, 1, 0, 0, -1]
    assert content_fingerprint(made) == made.fingerprint
    unnamed = write_store(tmp_path / "unnamed", tiles, label_names=["a", "b"], domain_names=["x", "y"])
    assert unnamed.fingerprint != made.fingerprint and unnamed.clients.tolist() == [-1] * 10


def test_a_truncated_file_is_refused(store: TileStore) -> None:
    tiles = store.path / "tiles.arrow"
    content = tiles.read_bytes()
    tiles.write_bytes(content[:-100])
    with pytest.raises(StoreError, match=r"damaged: .* bytes"):
        TileStore.open(store.path)
    tiles.write_bytes(bytes(len(content)))
    with pytest.raises(StoreError, match="damaged"):
        TileStore.open(store.path)


def test_incomplete_metadata_are_refused(store: TileStore) -> None:
    (store.path / "store.json").write_text('{"format_version": 1}')
    with pytest.raises(StoreError, match="damaged"):
        TileStore.open(store.path)


def test_a_store_error_survives_pickle() -> None:
    assert str(pickle.loads(pickle.dumps(StoreError("why")))) == "why"


def _edit(store: TileStore, **values: object) -> None:
    file = store.path / "store.json"
    rewrite(file, lambda metadata: metadata.update(values))
