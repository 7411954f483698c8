"""Patients never cross clients: in every scheme, on stores with few and with many patients."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedray.config import PartitionConfig
from fedray.data import PARTITIONS, PartitionError, Tile, TileStore, partition_store, write_store
from fedray.data.whole_groups import deal_groups
from tests.support.small import random_tiles

MakeStore = Callable[..., TileStore]


def config(scheme: str, **values: object) -> PartitionConfig:
    return PartitionConfig.model_validate({"scheme": scheme, **values})


@pytest.fixture
def patients(tmp_path: Path) -> MakeStore:
    """``patients([{label: tiles}, ...])``: one training patient a mapping; patient i is in domain i % 3, with client
    i % 4. 2 more patients are for testing."""

    def make(counts: list[dict[int, int]], **options: object) -> TileStore:
        image = np.zeros((16, 16, 3), np.uint8)
        listed = [(i, label) for i, of in enumerate(counts) for label, num in of.items() for _ in range(num)]
        listed = [listed[i] for i in np.random.default_rng(0).permutation(len(listed))]
        tiles = [Tile(image, label, i % 3, f"p{i}", "train", "", f"site-{'dbca'[i % 4]}") for i, label in listed]
        tiles += [Tile(image, label, 0, f"t{label}", "test", "") for label in (0, 1)]
        names = {"label_names": ["a", "b"], "domain_names": ["x", "y", "z"]}
        return write_store(tmp_path / "patients", tiles, **names, **options)  # type: ignore[arg-type]

    return make


def hospital(num_patients: int = 60) -> list[dict[int, int]]:
    """Patients with 2 to 40 tiles; a third has both labels, and label 1 is rarer."""
    random = np.random.default_rng(1)
    sizes = random.integers(2, 41, num_patients).tolist()
    return [{i % 3 % 2: size, **({1: 3} if i % 3 == 0 else {})} for i, size in enumerate(sizes)]


def owners(store: TileStore, clients: tuple[np.ndarray, ...]) -> dict[int, set[int]]:
    """Return the clients of each group."""
    found: dict[int, set[int]] = {}
    for client, indices in enumerate(clients):
        for group in np.unique(store.groups[indices]):
            found.setdefault(int(group), set()).add(client)
    return found


@pytest.mark.parametrize(
    ("scheme", "num_clients"),
    [("iid", 1), ("iid", 7), ("iid", 60), ("majority-label", 6), ("dirichlet", 1), ("dirichlet", 9), ("domain", 3),
     ("domain", 8), ("client", 4), ("imbalance", 3), ("imbalance", 9)],
)  # fmt: skip
def test_no_patient_is_with_two_clients(patients: MakeStore, scheme: str, num_clients: int) -> None:
    store = patients(hospital())
    partition = partition_store(store, config(scheme), num_clients, seed=0)
    assert all(len(clients) == 1 for clients in owners(store, partition.clients).values())
    assert len(partition.clients) == num_clients and partition.sizes().min() >= 1
    used = np.concatenate(partition.clients)
    assert len(np.unique(used)) == len(used) == len(store.indices("train")) - partition.unused
    assert set(used) <= set(store.indices("train"))
    assert partition.unused == 0 or scheme == "majority-label"
    again = partition_store(store, config(scheme), num_clients, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(partition.clients, again.clients, strict=True))


def test_every_scheme_is_tested_above() -> None:
    assert set(PARTITIONS) == {"iid", "majority-label", "dirichlet", "domain", "client", "imbalance"}


@pytest.mark.parametrize("scheme", ["iid", "majority-label", "dirichlet", "domain", "imbalance"])
def test_patients_cross_clients_where_that_is_asked_for(patients: MakeStore, scheme: str) -> None:
    store = patients(hospital())
    partition = partition_store(store, config(scheme, keep_groups=False), 6, seed=0)
    assert any(len(clients) > 1 for clients in owners(store, partition.clients).values())


def test_regions_of_one_patient_cross_clients_unless_they_must_not(patients: MakeStore) -> None:
    store = patients(hospital(), group_kind="region")
    spread = partition_store(store, config("iid"), 6, seed=0)
    assert np.ptp(spread.sizes()) <= 1
    kept = partition_store(store, config("iid", keep_groups=True), 6, seed=0)
    assert all(len(clients) == 1 for clients in owners(store, kept.clients).values())


@pytest.mark.parametrize(
    ("scheme", "num_clients", "digest"),
    [
        ("iid", 7, "2aec52b931aaee95"),
        ("majority-label", 6, "1ac3ad0f7a889314"),
        ("dirichlet", 9, "abf2121c9d7a24c3"),
        ("domain", 8, "c5fb434e2938844f"),
    ],
)
def test_the_partition_of_colon_is_the_one_that_it_always_was(
    colon: TileStore, scheme: str, num_clients: int, digest: str
) -> None:
    """Its groups are bands of one person's section; published figures rest on how they were spread."""
    assert colon.group_kind == "region"
    clients = partition_store(colon, config(scheme), num_clients, seed=0).clients
    content = b"".join(np.int64(len(client)).tobytes() + client.tobytes() for client in clients)
    assert hashlib.sha256(content).hexdigest().startswith(digest)


def test_tiles_that_are_groups_of_their_own_are_dealt_as_tiles(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", random_tiles(), label_names=["dark", "bright"])
    either, tiles = (partition_store(store, config("iid", keep_groups=keep), 4, seed=3) for keep in (None, False))
    assert all(np.array_equal(a, b) for a, b in zip(either.clients, tiles.clients, strict=True))


def test_iid_is_as_balanced_as_whole_patients_allow(patients: MakeStore) -> None:
    """The largest patient has 43 tiles; a client has about 218."""
    store = patients(hospital())
    counts = partition_store(store, config("iid"), 6, seed=0).counts(store.labels, 2)
    assert np.ptp(counts.sum(axis=1)) <= 22, "half a large patient"
    assert np.ptp(counts, axis=0).max() <= 22


def test_majority_label_keeps_its_shares_exactly(patients: MakeStore) -> None:
    store = patients(hospital(), group_kind="patient")
    partition = partition_store(store, config("majority-label", majority_share=0.75), 6, seed=0)
    counts = partition.counts(store.labels, 2)
    size = counts[0].sum()
    assert np.all(counts.sum(axis=1) == size) and size >= 40
    assert [counts[k, k % 2] for k in range(6)] == [round(0.75 * size)] * 6


def test_dirichlet_keeps_its_skew(patients: MakeStore) -> None:
    store = patients(hospital(300))

    def skew(alpha: float) -> float:
        counts = partition_store(store, config("dirichlet", alpha=alpha), 10, seed=0).counts(store.labels, 2)
        assert np.ptp(counts.sum(axis=1)) <= 86, "twice the largest patient"
        return float((counts[:, 0] / counts.sum(axis=1)).std())

    assert skew(0.1) > 0.3 > 0.12 > skew(100.0)


def test_clients_have_what_the_store_says(patients: MakeStore) -> None:
    store = patients(hospital())
    partition = partition_store(store, config("client"), 4, seed=0)
    assert partition.names == ("site-a", "site-b", "site-c", "site-d")
    for name, indices in zip(partition.names, partition.clients, strict=True):
        assert {store.client_names[code] for code in store.clients[indices]} == {name}
    assert partition.sizes().sum() == len(store.indices("train")), "test tiles need no client"


@pytest.mark.parametrize(
    ("scheme", "num_clients", "counts", "message"),
    [
        ("iid", 4, [{0: 5}, {1: 5}, {0: 9}], r"19 training tiles of 'patients' come from 3 group.s. .*_clients is 4; "
         r"lower it, or .* partition\.keep_groups=false"),
        ("dirichlet", 5, [{0: 5}, {1: 5}], r"2 group\(s\) .*num_clients is 5"),
        ("domain", 5, [{0: 9} if i in (0, 1, 2, 4, 5, 7, 8) else {} for i in range(9)],
         "needs 1 group a client, but domain 'x' has 1 training groups for 2 of the 5 clients"),
        ("majority-label", 4, [{0: 90}, {1: 5}, {0: 9}, {0: 2}], r"1 tile of its majority label from 4 groups .* "
         r"\[101, 5\] training tiles in \[3, 1\] groups"),
        ("client", 9, [{0: 9}] * 8, r"are with 4 client\(s\) .* is 9; set it to 4"),
        ("client", 3, [{0: 9}] * 8, r"are with 4 client\(s\) \('site-a', 'site-b', 'site-c', 'site-d'\), but .* is 3; "
         "set it to 4"),
    ],
)  # fmt: skip
def test_what_whole_patients_make_impossible_is_said_with_numbers(
    patients: MakeStore, scheme: str, num_clients: int, counts: list[dict[int, int]], message: str
) -> None:
    store = patients(counts)
    with pytest.raises(PartitionError, match=message):
        partition_store(store, config(scheme), num_clients, seed=0)


@pytest.mark.parametrize(("scheme", "field", "value"), [("domain", "domain", 1), ("client", "client", "site-b")])
def test_a_patient_of_two_domains_or_clients_is_named(tmp_path: Path, scheme: str, field: str, value: object) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    tiles = [Tile(image, 0, 0, f"p{i % 6}", "train", "", "site-a") for i in range(24)]
    tiles[:4] = [tile._replace(**{field: value}) for tile in tiles[:4]]
    store = write_store(tmp_path / "store", tiles, label_names=["a"], domain_names=["x", "y"])
    with pytest.raises(PartitionError, match=f"4 of 6 groups .* several {scheme}s \\('p0', 'p1', 'p2', 'p3'\\)"):
        partition_store(store, config(scheme), 2, seed=0)
    assert partition_store(store, config(scheme, keep_groups=False), 2, seed=0).sizes().sum() == 24


@pytest.mark.parametrize(("unnamed", "message"), [(24, "names none; make it from"), (3, "3 of 24 have none; fill")])
def test_tiles_without_a_client_are_counted(tmp_path: Path, unnamed: int, message: str) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    tiles = [Tile(image, 0, 0, f"p{i}", "train", "", "" if i < unnamed else "site") for i in range(24)]
    store = write_store(tmp_path / "store", tiles, label_names=["a"])
    with pytest.raises(PartitionError, match=message):
        partition_store(store, config("client"), 1, seed=0)


def test_groups_are_dealt_within_their_largest_of_the_target() -> None:
    """Greedy, largest first: no client is further from its size than the largest group; against many random draws."""
    random = np.random.default_rng(0)
    for _ in range(40):
        num_clients, num_groups = int(random.integers(1, 9)), int(random.integers(9, 40))
        sizes = random.integers(1, 30, num_groups)
        groups = random.permutation(np.repeat(np.arange(num_groups), sizes))
        labels = np.zeros_like(groups)
        target = np.full((num_clients, 1), len(groups) / num_clients)
        parts = deal_groups(labels, groups, target, random)
        assert sorted(np.concatenate(parts)) == list(range(len(groups)))
        assert max(abs(len(part) - len(groups) / num_clients) for part in parts) <= sizes.max()
        assert min(map(len, parts)) >= 1
