"""The scheme 'imbalance': properties over drawn sets of tiles, each knob by itself, and what is impossible."""

from typing import Any

import numpy as np
import pytest

from fedray.config import PartitionConfig
from fedray.data import PARTITIONS, WHY_UNUSED, PartitionError
from fedray.data.partitions import TrainingTiles
from fedray.data.partitions.imbalanced import imbalance

Counts = np.ndarray[Any, Any]


def config(**values: object) -> PartitionConfig:
    return PartitionConfig.model_validate({"scheme": "imbalance", **values})


def tiles_of(counts: Counts, tiles_per_group: int = 0, seed: int = 0) -> TrainingTiles:
    """Tiles of each label and domain, [labels, domains], shuffled; groups of about so many, in one domain each."""
    labels, domains = (np.repeat(codes.ravel(), counts.ravel()) for codes in np.indices(counts.shape))
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    labels, domains = labels[order], domains[order]
    groups = np.arange(len(labels))
    if tiles_per_group:
        groups = random.integers(0, max(1, len(labels) // tiles_per_group), len(labels)) * counts.shape[1] + domains
    names = (tuple(f"l{i}" for i in range(counts.shape[0])), tuple(f"d{i}" for i in range(counts.shape[1])))
    return TrainingTiles(
        labels, domains, groups, np.full(len(labels), -1), bool(tiles_per_group),
        tuple(f"p{i}" for i in range(groups.max() + 1)) if tiles_per_group else (), *names,
    )  # fmt: skip


def spread(tiles: TrainingTiles, num_clients: int, seed: int = 0, **values: object) -> tuple[list[Counts], Counts]:
    """Return the clients' tiles, and how many of each label and domain each has."""
    parts = imbalance(tiles, num_clients, config(**values), np.random.default_rng(seed))
    num_labels, num_domains = tiles.labels.max() + 1, tiles.domains.max() + 1
    counts = np.zeros((num_clients, num_labels, num_domains), np.int64)
    for client, part in enumerate(parts):
        np.add.at(counts[client], (tiles.labels[part], tiles.domains[part]), 1)
    return parts, counts


def test_why_tiles_are_unused_is_said_of_the_schemes_that_leave_some() -> None:
    assert set(WHY_UNUSED) == {"majority-label", "imbalance"} <= set(PARTITIONS)


@pytest.mark.parametrize("tiles_per_group", [0, 4])
def test_whatever_is_asked_for_holds_together(tiles_per_group: int) -> None:
    """Over 40 drawn sets: no tile twice, the same again, whole groups, the domains and empty cells that were asked."""
    held = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        num_labels, num_domains, num_clients = (int(random.integers(*bounds)) for bounds in ((1, 6), (1, 5), (1, 9)))
        available = random.integers(30, 200, (num_labels, num_domains))
        tiles = tiles_of(available, tiles_per_group, seed)
        each = int(random.integers(1, num_domains + 1))
        values = {
            "alpha": 1.0 + float(random.random()),
            "domains_per_client": each,
            "missing_share": float(random.choice([0.0, 0.3, 0.6])),
            "tail_ratio": float(random.choice([1.0, 3.0])),
        }
        try:
            parts, counts = spread(tiles, num_clients, seed, **values)
        except PartitionError:
            assert num_clients * each < num_domains or tiles_per_group
            continue
        held += 1
        everything = np.concatenate(parts)
        assert len(np.unique(everything)) == len(everything) and min(map(len, parts)) >= 1
        assert np.all((counts.sum(axis=1) > 0).sum(axis=1) <= each)
        assert np.all(counts.sum(axis=0) <= available)
        assert np.all(counts.sum(axis=(0, 2)) > 0) and np.all(counts.sum(axis=(0, 1)) > 0)
        again = imbalance(tiles, num_clients, config(**values), np.random.default_rng(seed))
        assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
        if tiles_per_group:
            owners = [set(tiles.groups[part].tolist()) for part in parts]
            assert sum(map(len, owners)) == len(set().union(*owners)), "a patient is with two clients"
    assert held > 25


@pytest.mark.parametrize("ratio", [1.0, 5.0, 100.0])
@pytest.mark.parametrize("num_labels", [1, 2, 7])
def test_labels_fall_geometrically(num_labels: int, ratio: float) -> None:
    available = np.random.default_rng(3).integers(300, 900, (num_labels, 2))
    tiles = tiles_of(available)
    _, counts = spread(tiles, 4, domains_per_client=2, tail_ratio=ratio, alpha=100.0)
    totals = available.sum(axis=1)
    expected = totals.copy()
    for rank, label in enumerate(sorted(range(num_labels), key=lambda label: -totals[label])):
        allowed = totals.max() * ratio ** (-rank / max(num_labels - 1, 1))
        expected[label] = min(totals[label], int(allowed + 1e-9))
    np.testing.assert_array_equal(counts.sum(axis=(0, 2)), expected)
    assert ratio == 1.0 or num_labels == 1 or totals.max() / counts.sum(axis=(0, 2)).min() >= ratio * 0.99


@pytest.mark.parametrize(("num_clients", "each"), [(4, 1), (9, 1), (3, 2), (2, 2), (4, 4), (6, 3), (1, 4)])
def test_clients_have_the_domains_that_are_asked_for_and_every_domain_a_client(num_clients: int, each: int) -> None:
    _, counts = spread(tiles_of(np.full((3, 4), 60)), num_clients, domains_per_client=each, alpha=1000.0)
    of_client = counts.sum(axis=1) > 0
    assert np.all(of_client.sum(axis=1) == each) and np.all(of_client.any(axis=0))
    if num_clients >= 4:
        assert all(of_client[client, client % 4] for client in range(num_clients))
    np.testing.assert_array_equal(counts.sum(axis=0), np.full((3, 4), 60))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75])
def test_clients_lack_their_share_of_cells_and_each_cell_keeps_a_client(share: float) -> None:
    _, counts = spread(tiles_of(np.full((4, 3), 400)), 30, domains_per_client=3, missing_share=share, alpha=1000.0)
    empty = (counts == 0).sum(axis=(1, 2))
    np.testing.assert_array_equal(empty, np.full(30, round(12 * share)))
    assert np.all(counts.sum(axis=0) == 400), "what one client lacks, others have"


def test_a_cell_that_all_would_lack_is_given_back_to_one() -> None:
    _, counts = spread(tiles_of(np.full((5, 2), 40)), 2, missing_share=0.9, alpha=1000.0)
    assert np.all(counts.sum(axis=0) == 40)
    _, lonely = spread(tiles_of(np.full((5, 1), 40)), 1, missing_share=0.9)
    np.testing.assert_array_equal(lonely[0], np.full((5, 1), 40))


def test_absent_cells_are_with_nobody() -> None:
    available = np.full((3, 3), 50)
    _, counts = spread(tiles_of(available), 6, domains_per_client=2, absent_cells="l0@d1, l2@d2", alpha=1000.0)
    expected = available.copy()
    expected[0, 1] = expected[2, 2] = 0
    np.testing.assert_array_equal(counts.sum(axis=0), expected)


def test_whoever_would_get_nothing_gets_a_tile_of_a_cell_that_it_may_have() -> None:
    _, counts = spread(tiles_of(np.full((4, 2), 50)), 100, alpha=0.01, missing_share=0.5)
    sizes = counts.sum(axis=(1, 2))
    assert sizes.min() == 1 and sizes.sum() == 400 and np.sum(sizes == 1) > 20
    assert np.all((counts > 0).sum(axis=(1, 2)) <= 2), "half of 4 labels are missing, and half of 2 domains"


def test_alpha_sets_the_skew_of_labels() -> None:
    def skew(alpha: float) -> float:
        _, counts = spread(tiles_of(np.full((2, 1), 2000)), 20, alpha=alpha)
        of_label = counts.sum(axis=2)
        return float((of_label[:, 0] / of_label.sum(axis=1)).std())

    assert skew(0.5) > 0.25 > 0.08 > skew(200.0)


def test_cells_are_dealt_by_the_shares_that_were_drawn() -> None:
    """Against the shares, drawn again from the same stream after the draws that come before them."""
    available = np.array([[301, 97], [55, 203], [120, 0]])
    tiles = tiles_of(available)
    seed, num_clients = 5, 6
    _, counts = spread(tiles, num_clients, seed, domains_per_client=2, alpha=3.0)
    random = np.random.default_rng(seed)
    random.permutation(len(tiles))
    for _ in range(num_clients):
        random.permutation(5)  # the cells of each client, of which none is missing
    totals = available.sum(axis=1)
    shares = random.dirichlet(3.0 * totals / totals.sum(), size=num_clients)
    exact = (shares / shares.sum(axis=0))[:, :, np.newaxis] * available
    assert np.abs(counts - exact).max() < 1
    np.testing.assert_array_equal(counts.sum(axis=0), available)


@pytest.mark.parametrize(
    ("num_clients", "values", "message"),
    [
        (
            3,
            {"absent_cells": "l0@d9"},
            r"pairs LABEL@DOMAIN that training tiles have, but got 'l0@d9'; there are 'l0@d0'",
        ),
        (3, {"absent_cells": "l0@d0,l0@d1,l0@d2"}, "leaves no training tile of the label 'l0'"),
        (3, {"absent_cells": "l0@d1,l1@d1"}, "leaves no training tile of the domain 'd1'"),
        (3, {"domains_per_client": 4}, "at most the number of domains, 3, but is 4"),
        (2, {}, "gives 2 clients 1 of 3 domains each, .* to at least 2"),
        (180, {"tail_ratio": 1000}, r"leaves 29 of 180 clients without a tile, client \d+ first; lower federation"),
    ],
)
def test_what_is_impossible_is_said_with_numbers(num_clients: int, values: dict[str, Any], message: str) -> None:
    with pytest.raises(PartitionError, match=message):
        spread(tiles_of(np.full((2, 3), 50)), num_clients, **values)


def test_a_patient_in_two_domains_and_too_few_patients_are_refused() -> None:
    tiles = tiles_of(np.full((2, 2), 40), tiles_per_group=10)
    with pytest.raises(PartitionError, match=r"has \d+ groups \(patients or slides\) for 20 clients; lower"):
        spread(tiles, 20, domains_per_client=2)
    crossing = TrainingTiles(
        tiles.labels, tiles.domains, tiles.groups // 2, tiles.clients, True,
        tuple(f"p{i}" for i in range(99)), tiles.label_names, tiles.domain_names,
    )  # fmt: skip
    with pytest.raises(
        PartitionError, match=r"have tiles of several domains .*, but partition 'imbalance' would spread"
    ):
        spread(crossing, 2)
