from typing import get_args

import numpy as np
import pytest

from fedray.config import PartitionConfig
from fedray.data import PARTITIONS, PartitionError, TileStore, partition_store
from fedray.data.partitions import TrainingTiles, majority_label

CASES = [("iid", 1), ("iid", 7), ("majority-label", 6), ("dirichlet", 1), ("dirichlet", 9)]
CASES += [("domain", 3), ("domain", 8), ("imbalance", 3), ("imbalance", 8)]


def config(scheme: str, **values: float) -> PartitionConfig:
    return PartitionConfig.model_validate({"scheme": scheme, **values})


def test_every_configurable_scheme_exists() -> None:
    assert set(PARTITIONS) == set(get_args(PartitionConfig.model_fields["scheme"].annotation))


@pytest.mark.parametrize(("scheme", "num_clients"), CASES)
def test_partitions_are_disjoint_complete_sorted_and_deterministic(
    colon: TileStore, scheme: str, num_clients: int
) -> None:
    partition = partition_store(colon, config(scheme), num_clients, seed=0)
    everything = np.concatenate(partition.clients)
    assert len(partition.clients) == num_clients and partition.scheme == scheme
    assert partition.sizes().min() >= 1
    assert len(np.unique(everything)) == len(everything)
    assert set(everything) <= set(colon.indices("train"))
    assert len(everything) + partition.unused == len(colon.indices("train"))
    assert partition.unused == 0 or scheme == "majority-label"
    assert all(np.all(np.diff(client) > 0) and client.dtype == np.int64 for client in partition.clients)
    again = partition_store(colon, config(scheme), num_clients, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(partition.clients, again.clients, strict=True))
    # One client per domain leaves nothing to draw.
    if num_clients > 1 and (scheme, num_clients) not in (("domain", 3), ("imbalance", 3)):
        other = partition_store(colon, config(scheme), num_clients, seed=1)
        assert any(not np.array_equal(a, b) for a, b in zip(partition.clients, other.clients, strict=True))


def test_counts_and_sizes_agree(colon: TileStore) -> None:
    partition = partition_store(colon, config("dirichlet"), 5, seed=0)
    np.testing.assert_array_equal(partition.counts(colon.labels, 2).sum(axis=1), partition.sizes())
    assert partition.counts(colon.domains, 3).shape == (5, 3)


@pytest.mark.parametrize("num_clients", [2, 7, 100, 505])
def test_iid_deals_every_label_evenly(colon: TileStore, num_clients: int) -> None:
    partition = partition_store(colon, config("iid"), num_clients, seed=0)
    assert np.ptp(partition.sizes()) <= 1
    assert np.ptp(partition.counts(colon.labels, 2), axis=0).max() <= 1


@pytest.mark.parametrize("share", [0.6, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize(("num_labels", "num_clients"), [(2, 6), (3, 6), (9, 18)])
def test_majority_label_is_the_setting_of_the_paper(num_labels: int, num_clients: int, share: float) -> None:
    labels = np.repeat(np.arange(num_labels), np.arange(100, 100 + num_labels))
    counts = _majority_counts(labels, num_clients, share)
    assert np.ptp(counts.sum(axis=1)) == 0, "equal sizes"
    assert np.ptp(counts.sum(axis=0)) == 0, "balanced overall"
    size = counts[0].sum()
    for client, row in enumerate(counts):
        assert row[client % num_labels] == round(share * size)
        assert np.ptp(np.delete(row, client % num_labels)) <= 1
    assert num_clients * (size + 1) > num_labels * 100, "the largest size there is"


def test_majority_label_takes_the_largest_possible_size() -> None:
    """Against every size by brute force, with the labels' totals counted client by client."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        num_labels, num_clients = int(rng.integers(2, 4)), int(rng.integers(1, 6))
        share = float(rng.choice([0.5, 0.6, 0.75, 0.8, 0.9, 1.0]))
        available = rng.integers(5, 40, num_labels)
        counts = _majority_counts(np.repeat(np.arange(num_labels), available), num_clients, share)
        assert np.all(counts.sum(axis=0) <= available)
        larger = [size for size in range(1, available.sum() + 1) if _fits(size, available, num_clients, share)]
        assert counts[0].sum() == max(larger)


def _fits(size: int, available: np.ndarray, num_clients: int, share: float) -> bool:
    used = np.zeros_like(available)
    for client in range(num_clients):
        majority = client % len(available)
        used[majority] += round(share * size)
        others = [(majority + 1 + (client // len(available) + i) % (len(available) - 1)) % len(available)
                  for i in range(size - round(share * size))]  # fmt: skip
        np.add.at(used, others, 1)
    return bool(np.all(used <= available))


def _majority_counts(labels: np.ndarray, num_clients: int, share: float) -> np.ndarray:
    nothing = np.zeros_like(labels)
    tiles = TrainingTiles(labels, nothing, nothing, nothing)
    parts = majority_label(tiles, num_clients, config("majority-label", majority_share=share), np.random.default_rng(0))
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    return np.array([np.bincount(labels[part], minlength=labels.max() + 1) for part in parts])


def test_majority_label_says_how_many_tiles_it_leaves(colon: TileStore) -> None:
    partition = partition_store(colon, config("majority-label"), 6, seed=0)
    np.testing.assert_array_equal(partition.counts(colon.labels, 2), [[39, 10], [10, 39]] * 3)
    assert partition.unused == 505 - 6 * 49


def test_dirichlet_alpha_sets_the_skew(colon: TileStore) -> None:
    def skew(alpha: float) -> float:
        counts = partition_store(colon, config("dirichlet", alpha=alpha), 20, seed=0).counts(colon.labels, 2)
        return float((counts[:, 0] / counts.sum(axis=1)).std())

    assert skew(0.1) > 0.3 > 0.12 > skew(100.0)
    assert np.ptp(partition_store(colon, config("dirichlet", alpha=1e-9), 7, seed=0).sizes()) <= 1


@pytest.mark.parametrize("num_clients", [3, 4, 30])
def test_a_client_has_one_domain(colon: TileStore, num_clients: int) -> None:
    partition = partition_store(colon, config("domain"), num_clients, seed=0)
    counts = partition.counts(colon.domains, 3)
    np.testing.assert_array_equal((counts > 0).argmax(axis=1), np.arange(num_clients) % 3)
    assert np.all((counts > 0).sum(axis=1) == 1)
    for domain in range(3):
        assert np.ptp(counts[domain::3, domain]) <= 1


@pytest.mark.parametrize(
    ("scheme", "num_clients", "message"),
    [
        ("iid", 506, "number of training tiles, 505 in 'colon-32-3-domains', but got 506"),
        ("iid", 0, "but got 0"),
        ("domain", 2, "3 domains and 2 clients"),
        ("majority-label", 400, r"each of 400 clients .* \[358, 147\] training tiles"),
    ],
)
def test_what_cannot_be_partitioned_is_said_with_numbers(
    colon: TileStore, scheme: str, num_clients: int, message: str
) -> None:
    with pytest.raises(PartitionError, match=message):
        partition_store(colon, config(scheme), num_clients, seed=0)


def test_a_minority_share_is_no_majority(colon: TileStore) -> None:
    with pytest.raises(PartitionError, match="majority_share"):
        partition_store(colon, config("majority-label", majority_share=0.3), 4, seed=0)
