"""``imbalance``: labels and domains are unevenly spread, some of their pairs are with nobody, all at once.

A *cell* is a label with a domain. What a client has of the cells is decided in this order: which cells nobody has,
which labels are rare overall, which domains a client has, which of its cells it lacks, and its shares of the labels.
"""

import numpy as np
from numpy.typing import NDArray

from fedray.config import PartitionConfig
from fedray.data.importing.option_texts import parse_list
from fedray.data.partitions.tiles import PartitionError, TrainingTiles, check_crossing, some_of
from fedray.data.whole_groups import Codes, deal_groups

Weights = NDArray[np.float64]


def imbalance(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Spread tiles unevenly over clients, by label and by domain (the setting of arXiv 2604.26324).

    - ``absent_cells``: tiles of these stay unused.
    - ``tail_ratio``: the labels' totals fall geometrically, from the most frequent to the rarest, which has at most
      1 / ratio of its tiles (long-tailed as in Cui et al. 2019, arXiv 1901.05555); the tiles beyond stay unused.
    - ``domains_per_client``: client k has that many domains, from the domain k modulo their number on.
    - ``missing_share``: this share of a client's cells, drawn for each, is empty there; a cell that would be empty at
      all clients is given back to one.
    - ``alpha``: each client draws shares of the labels from Dirichlet(alpha * global shares); the tiles of a cell go to
      the clients that have it in proportion to their shares, so sizes differ; who would get nothing gets 1 tile.

    Groups that stay whole are dealt, domain by domain, to the counts that this gives, as near as they allow; tiles of a
    cell that their client lacks stay unused.

    Raises:
        PartitionError: A cell that is to be absent does not exist, there are not enough clients, domains or groups, or
            nothing is left for a client; the message gives the numbers.
    """
    shape = (int(tiles.labels.max()) + 1, int(tiles.domains.max()) + 1)
    if tiles.keep_groups:
        check_crossing(tiles, tiles.domains, "domain", "imbalance")
    kept = _without_absent(tiles, config.absent_cells)
    kept = kept[_long_tail(tiles.labels[kept], config.tail_ratio, rng)]
    used = tiles.take(kept)
    available = np.zeros(shape, dtype=np.int64)
    np.add.at(available, (used.labels, used.domains), 1)
    homes = _homes(available.sum(axis=0) > 0, num_clients, config.domains_per_client)
    has = homes[:, np.newaxis, :] & (available > 0)
    has &= ~_draw_missing(has, config.missing_share, rng)
    weights = _draw_shares(available.sum(axis=1), num_clients, config.alpha, rng)[:, :, np.newaxis] * has
    deal = _deal_whole_groups if tiles.keep_groups else _deal_tiles
    parts = deal(used, has, _shares_of_cells(weights, has), rng)
    if empty := [k for k, part in enumerate(parts) if not len(part)]:
        raise PartitionError(
            f"partition 'imbalance' leaves {len(empty)} of {num_clients} clients without a tile, client {empty[0]} "
            "first; lower federation.num_clients, partition.missing_share or partition.tail_ratio, or raise "
            "partition.alpha or partition.domains_per_client"
        )
    return [kept[part] for part in parts]


def _without_absent(tiles: TrainingTiles, text: str) -> Codes:
    """Return the positions of the tiles that are in none of the cells that a text names, ``LABEL@DOMAIN,...``."""
    present = {(int(a), int(b)) for a, b in np.unique(np.stack([tiles.labels, tiles.domains], axis=1), axis=0)}
    names = {f"{tiles.label_names[a]}@{tiles.domain_names[b]}": (a, b) for a, b in sorted(present)}
    cells = [cell for cell in parse_list(text) if cell]
    if unknown := [cell for cell in cells if cell not in names]:
        raise PartitionError(
            f"partition.absent_cells must name pairs LABEL@DOMAIN that training tiles have, but got {unknown[0]!r}; "
            f"there are {some_of([*names], 12)}"
        )
    absent = {names[cell] for cell in cells}
    left = present - absent
    for axis, kind, all_names in ((0, "label", tiles.label_names), (1, "domain", tiles.domain_names)):
        if lost := {cell[axis] for cell in present} - {cell[axis] for cell in left}:
            raise PartitionError(
                f"partition.absent_cells leaves no training tile of the {kind} {all_names[min(lost)]!r}; leave one of "
                "its cells"
            )
    is_absent = np.zeros(len(tiles), dtype=bool)
    for label, domain in absent:
        is_absent |= (tiles.labels == label) & (tiles.domains == domain)
    return np.flatnonzero(~is_absent)


def _long_tail(labels: Codes, ratio: float, rng: np.random.Generator) -> Codes:
    """Return the positions of tiles whose labels' totals fall geometrically, by ``ratio`` from first to last."""
    counts = np.bincount(labels)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    allowed = counts[order[0]] * ratio ** (-np.arange(len(order)) / max(len(order) - 1, 1))
    limits = np.zeros_like(counts)
    limits[order] = np.maximum(np.floor(allowed + 1e-9), 1)
    shuffled = rng.permutation(len(labels))
    return np.sort(np.concatenate([shuffled[labels[shuffled] == label][: limits[label]] for label in order]))


def _homes(present: NDArray[np.bool_], num_clients: int, domains_per_client: int) -> NDArray[np.bool_]:
    """Say which domain is with which client, bool [num_clients, num_domains]."""
    domains = np.flatnonzero(present)
    if domains_per_client > len(domains):
        raise PartitionError(
            f"partition.domains_per_client must be at most the number of domains, {len(domains)}, but is "
            f"{domains_per_client}"
        )
    if num_clients * domains_per_client < len(domains):
        raise PartitionError(
            f"partition 'imbalance' gives {num_clients} clients {domains_per_client} of {len(domains)} domains each, "
            "so some would be with nobody; raise partition.domains_per_client to at least "
            f"{-(-len(domains) // num_clients)}, or federation.num_clients"
        )
    # Fewer clients than domains: they begin where the one before ends, or earlier.
    clients = np.arange(num_clients)
    first = clients if num_clients >= len(domains) else clients * len(domains) // num_clients
    homes = np.zeros((num_clients, len(present)), dtype=bool)
    for step in range(domains_per_client):
        homes[clients, domains[(first + step) % len(domains)]] = True
    return homes


def _draw_missing(has: NDArray[np.bool_], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw the cells that clients lack, bool [num_clients, num_labels, num_domains]; each cell keeps a client."""
    missing = np.zeros_like(has)
    for client, cells in enumerate(has):
        own = np.flatnonzero(cells)
        lost = rng.permutation(own)[: min(round(share * len(own)), len(own) - 1)]
        missing[client].flat[lost] = True
    for label, domain in zip(*np.nonzero(has.any(axis=0) & ~(has & ~missing).any(axis=0)), strict=True):
        missing[rng.choice(np.flatnonzero(has[:, label, domain])), label, domain] = False
    return missing


def _draw_shares(totals: Codes, num_clients: int, alpha: float, rng: np.random.Generator) -> Weights:
    """Draw each client's shares of the labels, float64 [num_clients, num_labels]."""
    present = np.flatnonzero(totals)
    shares = np.zeros((num_clients, len(totals)))
    shares[:, present] = rng.dirichlet(alpha * totals[present] / totals.sum(), size=num_clients)
    return shares


def _shares_of_cells(weights: Weights, has: NDArray[np.bool_]) -> Weights:
    """Divide weights by their sum over the clients; evenly where all that have a cell drew nothing of its label."""
    sums = weights.sum(axis=0)
    even = has / np.maximum(has.sum(axis=0), 1)
    return np.where(sums > 1e-12, weights / np.where(sums > 1e-12, sums, 1.0), even)


def _deal_tiles(tiles: TrainingTiles, has: NDArray[np.bool_], shares: Weights, rng: np.random.Generator) -> list[Codes]:
    """Deal the tiles of each cell by the clients' shares of it: counts are off by less than 1."""
    pools = {
        (label, domain): rng.permutation(np.flatnonzero((tiles.labels == label) & (tiles.domains == domain)))
        for label, domain in zip(*np.nonzero(has.any(axis=0)), strict=True)
    }
    counts = np.zeros(has.shape, dtype=np.int64)
    for (label, domain), pool in pools.items():
        counts[:, label, domain] = _whole_counts(shares[:, label, domain] * len(pool), len(pool))
    _feed_the_empty(counts, has)
    dealt = {cell: np.split(pool, np.cumsum(counts[:, *cell])[:-1]) for cell, pool in pools.items()}
    return [np.concatenate([parts[client] for parts in dealt.values()]) for client in range(len(has))]


def _feed_the_empty(counts: Codes, has: NDArray[np.bool_]) -> None:
    """Give a client that would have nothing a tile of a cell that it may have, from whoever has most of it."""
    for client in np.flatnonzero(counts.sum(axis=(1, 2)) == 0):
        spare = np.where(has[client] & (counts.sum(axis=(1, 2)) > 1)[:, np.newaxis, np.newaxis], counts, 0)
        giver, label, domain = np.unravel_index(np.argmax(spare), spare.shape)
        if spare[giver, label, domain]:
            counts[giver, label, domain] -= 1
            counts[client, label, domain] += 1


def _whole_counts(exact: Weights, total: int) -> Codes:
    """Round counts so that they keep their sum: the largest remainders are rounded up."""
    counts = np.floor(exact + 1e-9).astype(np.int64)
    up = np.argsort(-(exact - counts), kind="stable")[: total - counts.sum()]
    counts[up] += 1
    return counts


def _deal_whole_groups(
    tiles: TrainingTiles, has: NDArray[np.bool_], shares: Weights, rng: np.random.Generator
) -> list[Codes]:
    """Deal the groups of each domain to the counts of its clients; what a client lacks is taken from its tiles."""
    parts: list[list[Codes]] = [[] for _ in has]
    for domain in np.unique(tiles.domains):
        clients = np.flatnonzero(has[:, :, domain].any(axis=1))
        chosen = np.flatnonzero(tiles.domains == domain)
        members = tiles.take(chosen)
        if members.num_groups() < len(clients):
            raise PartitionError(
                f"partition 'imbalance' needs 1 group a client, but the domain {tiles.domain_names[domain]!r} has "
                f"{members.num_groups()} groups (patients or slides) for {len(clients)} clients; lower "
                "federation.num_clients or partition.domains_per_client"
            )
        totals = np.bincount(members.labels, minlength=shares.shape[1])
        target = shares[clients, :, domain] * totals
        for client, part in zip(clients, deal_groups(members.labels, members.groups, target, rng), strict=True):
            parts[client].append(chosen[part[has[client, members.labels[part], domain]]])
    return [np.concatenate(part) for part in parts]
