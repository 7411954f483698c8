"""Domains of a store as a store of their own, against masks over the whole."""

import pickle

import numpy as np
import pytest

from fedray.config import ConfigError, DataConfig, ExperimentConfig, PartitionConfig, override
from fedray.data import (
    PARTITIONS,
    PartitionError,
    StoreError,
    Tile,
    TileStore,
    external_store,
    local_store,
    open_store,
    partition_store,
    partitioned_store,
    write_store,
)
from fedray.data.some_domains import of_domain, without_domain
from fedray.experiment.settled import from_store

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    """120 tiles of 16 px: 2 labels, 3 domains in turn, patients of two tiles in one domain, 3 clients."""
    random = np.random.default_rng(0)
    tiles = [
        Tile(random.integers(0, 256, (16, 16, 3), dtype=np.uint8), i // 2 % 2, i // 4 % 3, f"p{i // 2}",
             "test" if i % 24 >= 12 else "train", f"{i}.png", f"hospital-{i // 4 % 3}")
        for i in range(120)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("stores") / "mixed"
    return write_store(path, tiles, label_names=["x", "y"], domain_names=NAMES, batch_rows=7)


@pytest.mark.parametrize("held_out", range(3))
def test_both_parts_are_what_masks_over_the_whole_give(mixed: TileStore, held_out: int) -> None:
    rest, own = without_domain(mixed, NAMES[held_out]), of_domain(mixed, NAMES[held_out])
    assert rest.domain_names == tuple(name for name in NAMES if name != NAMES[held_out])
    assert own.domain_names == (NAMES[held_out],)
    for part, rows in ((rest, mixed.domains != held_out), (own, mixed.domains == held_out)):
        rows = np.flatnonzero(rows)
        assert len(part) == len(rows) == len(part.tiles(slice(None)))
        np.testing.assert_array_equal(part.tiles(slice(None)), mixed.tiles(rows))
        np.testing.assert_array_equal(part.tiles([5, 0, 0]), mixed.tiles(rows[[5, 0, 0]]))
        np.testing.assert_array_equal(part.labels, mixed.labels[rows])
        np.testing.assert_array_equal(part.splits, mixed.splits[rows])
        np.testing.assert_array_equal(part.clients, mixed.clients[rows])
        assert [part.domain_names[code] for code in part.domains] == [
            mixed.domain_names[c] for c in mixed.domains[rows]
        ]
        assert [part.group_names[code] for code in part.groups] == [mixed.group_names[c] for c in mixed.groups[rows]]
        assert part.sources([1, 0]) == mixed.sources(rows[[1, 0]])
        np.testing.assert_array_equal(rows[part.indices("test")], [i for i in rows if mixed.splits[i] == "test"])
        again = pickle.loads(pickle.dumps(part))
        assert (again.fingerprint, again.name) == (part.fingerprint, part.name)
        np.testing.assert_array_equal(again.tiles([3]), part.tiles([3]))
        for bad in ([len(part)], [-1]):
            with pytest.raises(IndexError):
                part.tiles(bad)
        with pytest.raises(TypeError):
            part.tiles(part.labels == 1)
    assert len({mixed.fingerprint, rest.fingerprint, own.fingerprint}) == 3
    assert rest.fingerprint != without_domain(mixed, NAMES[held_out - 1]).fingerprint


def test_the_configuration_says_what_is_held_out(mixed: TileStore) -> None:
    data = DataConfig(store=str(mixed.path), held_out_domain="b")
    store, external = local_store(data), external_store(data)
    assert external is not None and store.domain_names == ("a", "c") and external.domain_names == ("b",)
    assert len(store) + len(external) == len(mixed)
    assert external_store(DataConfig(store=str(mixed.path))) is None


@pytest.mark.parametrize("scheme", sorted(PARTITIONS))
@pytest.mark.parametrize("held_out", NAMES)
def test_no_client_has_a_tile_of_it_whatever_the_scheme(mixed: TileStore, scheme: str, held_out: str) -> None:
    values = {"task": "classification", "data.store": str(mixed.path), "data.held_out_domain": held_out,
              "partition.scheme": scheme, "federation.num_clients": 2}  # fmt: skip
    config = override(ExperimentConfig(), values, "test")
    source = partitioned_store(config)
    real = {tile.tobytes() for tile in mixed.tiles(np.flatnonzero(mixed.domains != NAMES.index(held_out)))}
    seen = [source.tiles(client) for client in range(2)]
    assert sum(len(part.labels) for part in seen) > 10
    assert all(tile.tobytes() in real for part in seen for tile in part.tiles)
    assert source.shape().num_domains == 2 and all(set(part.domains.tolist()) <= {0, 1} for part in seen)


def test_a_cell_of_it_can_be_absent_with_nobody(mixed: TileStore) -> None:
    store = without_domain(mixed, "b")
    scheme = PartitionConfig(scheme="imbalance", absent_cells="x@b")
    with pytest.raises(PartitionError, match=r"but got 'x@b'; there are 'x@a', 'x@c', 'y@a', 'y@c'"):
        partition_store(store, scheme, 2, 0)


def test_what_is_settled_opens_the_same_tiles_again() -> None:
    """The number of domains is that of the section: with one less it would be another one."""
    values = {"task": "classification", "data.num_domains": 3, "data.held_out_domain": "pale-dab"}
    config = override(ExperimentConfig(), values, "test")
    once = from_store(config)
    assert (once.data.num_domains, once.data.tile_size) == (3, 32) and from_store(once) == once
    assert local_store(once.data).fingerprint == local_store(config.data).fingerprint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"num_domains": 3, "held_out_domain": "pale-dap"},
            "one of 'original', 'pale-dab', 'strong-blue-blurred', but got 'pale-dap'; did you mean 'pale-dab'?",
        ),
        ({"held_out_domain": "original"}, r"is the only domain of 'colon-32', .*data\.num_domains for 'colon'"),
        ({"held_out_domain": ""}, "must be a domain of 'colon-32'"),
    ],
)
def test_what_cannot_be_held_out_is_refused(data: dict[str, str], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(DataConfig(**data))


def test_sites_hold_out_nothing() -> None:
    with pytest.raises(ConfigError, match="leave the sites of that domain out of the federation"):
        override(ExperimentConfig(), {"data.store": "sites", "data.held_out_domain": "a"}, "test")
