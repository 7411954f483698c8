"""Partitions: which training tile belongs to which client. A scheme is a pure function of the codes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedray.config import PartitionConfig
from fedray.data.store import TileStore
from fedray.data.whole_groups import Codes, deal_groups
from fedray.errors import UserError
from fedray.randomness import stream

Scheme = Callable[["TrainingTiles", int, PartitionConfig, np.random.Generator], list[Codes]]
"""Returns the positions of each client's tiles in the arrays of the training tiles."""


class PartitionError(UserError, ValueError):
    """The training tiles cannot be spread over the clients as asked. The message gives the rule and the numbers."""


@dataclass(frozen=True, eq=False)
class Partition:
    """The training tiles of every client, as indices into a store; no pixel is copied."""

    clients: tuple[Codes, ...]
    """Store indices of each client's tiles, int64, ascending; no tile belongs to two clients."""
    scheme: str
    """Name of the scheme."""
    unused: int = 0
    """Training tiles that no client has; above 0 for 'majority-label' only."""
    names: tuple[str, ...] = ()
    """Name of each client, for 'client' only."""

    def sizes(self) -> Codes:
        """Return the number of tiles of each client, int64 [num_clients]."""
        return np.array([len(indices) for indices in self.clients], dtype=np.int64)

    def counts(self, codes: Codes, num: int) -> Codes:
        """Count codes per client.

        Args:
            codes: The store's ``labels``, ``domains`` or ``groups``, int64 [N].
            num: How many different codes there are.

        Returns:
            int64 [num_clients, num].
        """
        return np.array([np.bincount(codes[indices], minlength=num) for indices in self.clients], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TrainingTiles:
    """What a scheme knows of the training tiles: their codes, and whether groups stay whole."""

    labels: Codes
    """Label codes, int64 [N]."""
    domains: Codes
    groups: Codes
    clients: Codes
    """Codes of the clients that the store names, -1 where it names none."""
    keep_groups: bool = False
    """Whether no group may be spread over several clients."""
    group_names: tuple[str, ...] = ()
    """Name of each group code; given where groups stay whole."""
    domain_names: tuple[str, ...] = ()
    client_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.labels)

    def num_groups(self) -> int:
        """Return the number of different groups."""
        return len(np.unique(self.groups))

    def take(self, members: Codes) -> "TrainingTiles":
        """Return some of the tiles, given by their positions."""
        return replace(
            self,
            labels=self.labels[members],
            domains=self.domains[members],
            groups=self.groups[members],
            clients=self.clients[members],
        )

    def crossing(self, codes: Codes) -> list[str]:
        """Return the names of the groups that have tiles of several codes."""
        pairs = np.unique(np.stack([self.groups, codes]), axis=1)
        group, times = np.unique(pairs[0], return_counts=True)
        return [self.group_names[code] for code in group[times > 1]]


def partition_store(store: TileStore, config: PartitionConfig, num_clients: int, seed: int) -> Partition:
    """Spread a store's training tiles over the clients. Patients stay whole unless ``keep_groups`` says otherwise.

    Raises:
        PartitionError: There are more clients than training tiles or than groups that stay whole, or the scheme cannot
            be met; the message gives the numbers.
    """
    train = store.indices("train")
    if not 1 <= num_clients <= len(train):
        raise PartitionError(
            f"num_clients must be from 1 to the number of training tiles, {len(train)} in {store.name!r}, "
            f"but got {num_clients}; every client needs at least 1 tile, so lower federation.num_clients"
        )
    tiles = training_tiles(store, config)
    if config.scheme != "client" and tiles.keep_groups and tiles.num_groups() < num_clients:
        raise PartitionError(
            f"the {len(train)} training tiles of {store.name!r} come from {tiles.num_groups()} group(s) (patients "
            f"or slides), which stay whole, but federation.num_clients is {num_clients}; lower it, or let groups be "
            "spread over clients with partition.keep_groups=false"
        )
    parts = PARTITIONS[config.scheme](tiles, num_clients, config, stream(seed, "partition"))
    clients = tuple(train[np.sort(part)] for part in parts)
    names = tuple(sorted(tiles.client_names)) if config.scheme == "client" else ()
    return Partition(clients, config.scheme, len(train) - sum(len(client) for client in clients), names)


def training_tiles(store: TileStore, config: PartitionConfig) -> TrainingTiles:
    """Return the training tiles of a store, and decide whether their groups stay whole."""
    train = store.indices("train")
    groups, clients = store.groups[train], store.clients[train]
    wanted = store.group_kind == "patient" if config.keep_groups is None else config.keep_groups
    # Where every tile is a group of its own there is nothing to keep: the partition is the one without groups.
    keep = wanted and len(np.unique(groups)) < len(train)
    return TrainingTiles(
        store.labels[train],
        store.domains[train],
        groups,
        clients,
        keep,
        store.group_names if keep else (),
        store.domain_names,
        tuple(store.client_names[code] for code in np.unique(clients[clients >= 0])),
    )


def iid(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Deal the shuffled tiles of each label in turn: sizes, and the counts of each label, differ by at most 1.

    Groups that stay whole are dealt to the same even counts, as near as they allow.
    """
    if tiles.keep_groups:
        totals = np.bincount(tiles.labels)
        return deal_groups(tiles.labels, tiles.groups, np.tile(totals / num_clients, (num_clients, 1)), rng)
    return deal_evenly(tiles.labels, num_clients, rng)


def deal_evenly(labels: Codes, num_clients: int, rng: np.random.Generator) -> list[Codes]:
    """Deal shuffled tiles label by label: sizes, and the counts of each label, differ by at most 1.

    Args:
        labels: [N].
        num_clients: At least 1; those beyond N get nothing.
        rng: Of the order.

    Returns:
        Positions of each client's tiles in ``labels``.
    """
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [by_label[client::num_clients] for client in range(num_clients)]


def majority_label(
    tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator
) -> list[Codes]:
    """Give each client one over-represented label: the non-IID setting of arXiv 2504.04130.

    All clients have the same size, the largest that the rarest label allows; the tiles beyond it stay unused. Client
    k has exactly ``round(majority_share * size)`` tiles of the label k modulo the number of labels, and the others
    evenly. Over all clients the labels are exactly balanced where the number of labels divides the number of clients.

    Groups that stay whole are dealt first; then the size is the largest at which every client has tiles enough of every
    label in its own groups.

    Raises:
        PartitionError: Fewer than 2 labels, a share below an even one, or too few tiles of a label.
    """
    available = np.bincount(tiles.labels)
    num_labels = np.count_nonzero(available)
    if num_labels < 2 or config.majority_share < 1 / num_labels:
        raise PartitionError(
            "partition 'majority-label' needs at least 2 labels and a majority_share of at least 1 / labels, but got "
            f"{num_labels} labels and {config.majority_share}"
        )
    present = np.flatnonzero(available)
    counts = _majority_counts(available[present], num_clients, config.majority_share)
    if tiles.keep_groups:
        return _majority_of_groups(tiles, np.searchsorted(present, tiles.labels), counts, config.majority_share, rng)
    pools = [rng.permutation(np.flatnonzero(tiles.labels == label)) for label in present]
    ends = counts.cumsum(axis=0)
    starts = ends - counts
    return [
        np.concatenate([pool[starts[k, i] : ends[k, i]] for i, pool in enumerate(pools)]) for k in range(num_clients)
    ]


def dirichlet(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Draw each client's label shares from Dirichlet(alpha * global shares) (Hsu et al. 2019, arXiv 1909.06335).

    Every tile is dealt, and sizes differ by at most 1. Clients draw in random order; where a label has run out, the
    shares of the others are renormalised, so the last clients to draw follow their shares less closely. Groups that
    stay whole are dealt to the counts that were drawn, as near as they allow.
    """
    pools = [rng.permutation(np.flatnonzero(tiles.labels == label)) for label in np.unique(tiles.labels)]
    left = np.array([len(pool) for pool in pools])
    prior = left / left.sum()
    base, larger = divmod(len(tiles), num_clients)
    parts: list[Codes] = [np.empty(0, np.int64)] * num_clients
    for client in rng.permutation(num_clients):
        shares = rng.dirichlet(config.alpha * prior)
        taken = _draw_counts(shares, left, base + int(client < larger), rng)
        parts[client] = np.concatenate(
            [pool[rest - count : rest] for pool, rest, count in zip(pools, left, taken, strict=True)]
        )
        left = left - taken
    if tiles.keep_groups:
        drawn = np.array([np.bincount(tiles.labels[part], minlength=tiles.labels.max() + 1) for part in parts])
        return deal_groups(tiles.labels, tiles.groups, drawn.astype(np.float64), rng)
    return parts


def domain(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Give each client tiles of one domain: client k has the domain k modulo their number, shared evenly as in 'iid'.

    Raises:
        PartitionError: Fewer than 2 domains, fewer clients than domains, a domain with fewer tiles or groups than
            clients, or a group that stays whole in several domains.
    """
    present = np.unique(tiles.domains)
    if not 2 <= len(present) <= num_clients:
        raise PartitionError(
            "partition 'domain' needs at least 2 domains and at least as many clients as domains, but got "
            f"{len(present)} domains and {num_clients} clients; choose another partition.scheme, or change "
            "data.num_domains (for 'colon') or federation.num_clients"
        )
    if tiles.keep_groups:
        _check_crossing(tiles, tiles.domains, "domain")
    parts: list[Codes] = [np.empty(0, np.int64)] * num_clients
    for i, code in enumerate(present):
        members = tiles.take(chosen := np.flatnonzero(tiles.domains == code))
        clients = range(i, num_clients, len(present))
        unit, found = ("group", members.num_groups()) if tiles.keep_groups else ("tile", len(members))
        if found < len(clients):
            name = repr(tiles.domain_names[code]) if tiles.domain_names else code
            raise PartitionError(
                f"partition 'domain' needs 1 {unit} a client, but domain {name} has {found} training {unit}s for "
                f"{len(clients)} of the {num_clients} clients; lower federation.num_clients"
            )
        for client, part in zip(clients, iid(members, len(clients), config, rng), strict=True):
            parts[client] = chosen[part]
    return parts


def client(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Give each client the tiles that the store names for it; client k is the one with the k-th name in the alphabet.

    Raises:
        PartitionError: The store names no client, or another number of them, a tile has none, or a group that stays
            whole is with several.
    """
    names = tiles.client_names
    if not names:
        raise PartitionError(
            "partition 'client' needs a store that names its clients, but this one names none; make it from a CSV file "
            "with a column client, or choose another partition.scheme"
        )
    if unnamed := int(np.sum(tiles.clients < 0)):
        raise PartitionError(
            f"partition 'client' needs a client for each training tile, but {unnamed} of {len(tiles)} have none; fill "
            "the CSV file's column client, or choose another partition.scheme"
        )
    if len(names) != num_clients:
        raise PartitionError(
            f"the training tiles are with {len(names)} client(s) ({_some(sorted(names))}), but "
            f"federation.num_clients is {num_clients}; set it to {len(names)}, or choose another partition.scheme"
        )
    if tiles.keep_groups:
        _check_crossing(tiles, tiles.clients, "client")
    codes = np.unique(tiles.clients)[np.argsort(np.array(names), kind="stable")]
    return [np.flatnonzero(tiles.clients == code) for code in codes]


PARTITIONS: dict[str, Scheme] = {
    "iid": iid,
    "majority-label": majority_label,
    "dirichlet": dirichlet,
    "domain": domain,
    "client": client,
}


def _check_crossing(tiles: TrainingTiles, codes: Codes, column: str) -> None:
    if crossing := tiles.crossing(codes):
        raise PartitionError(
            f"{len(crossing)} of {tiles.num_groups()} groups (patients or slides) have tiles of several {column}s "
            f"({_some(crossing)}), but partition '{column}' would spread them over clients; correct the column "
            f"{column} or group, or allow it with partition.keep_groups=false"
        )


def _some(names: Sequence[str], num: int = 5) -> str:
    return ", ".join(map(repr, names[:num])) + (", ..." if len(names) > num else "")


def _majority_of_groups(
    tiles: TrainingTiles, labels: Codes, counts: Codes, share: float, rng: np.random.Generator
) -> list[Codes]:
    """Deal whole groups, then use of each client's tiles as many as all clients can in the shares of ``counts``.

    Args:
        tiles: The training tiles.
        labels: Their labels, counted through from 0 without a gap, int64 [N].
        counts: Tiles of each client and label if tiles were dealt, int64 [num_clients, num_labels].
        share: Of the majority label.
        rng: Of the order.
    """
    num_clients, num_labels = counts.shape
    available = np.bincount(labels)
    # All tiles are dealt, in the shares of the counts: which of them stay unused is decided by the poorest client.
    target = counts * (available / np.maximum(counts.sum(axis=0), 1))
    parts = deal_groups(labels, tiles.groups, target, rng)
    owned = np.array([np.bincount(labels[part], minlength=num_labels) for part in parts])
    for size in range(int(counts[0].sum()), 0, -1):
        wanted = _counts_of_size(size, num_clients, num_labels, share)
        if np.all(wanted <= owned):
            break
    else:
        raise PartitionError(
            f"partition 'majority-label' cannot give each of {num_clients} clients 1 tile of its majority label from "
            f"{tiles.num_groups()} groups (patients or slides) that stay whole: the labels have {available.tolist()} "
            f"training tiles in {_groups_of_labels(tiles.groups, labels)} groups; lower federation.num_clients, or let "
            "groups be spread over clients with partition.keep_groups=false"
        )
    return [
        np.concatenate([rng.permutation(part[labels[part] == label])[:num] for label, num in enumerate(row)])
        for part, row in zip(parts, wanted, strict=True)
    ]


def _groups_of_labels(groups: Codes, labels: Codes) -> list[int]:
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    return [int(count) for count in np.bincount(pairs[1])]


def _majority_counts(available: Codes, num_clients: int, share: float) -> Codes:
    """Return the tiles per client and label of the largest size that is possible, int64 [num_clients, num_labels]."""
    num_labels = len(available)
    # Upper bound of the size, from the counts before rounding; rounding moves a label's total by at most 1 a client.
    with_majority = np.bincount(np.arange(num_clients) % num_labels, minlength=num_labels)
    per_size = with_majority * share + (num_clients - with_majority) * (1 - share) / (num_labels - 1)
    bounds = np.divide(available + num_clients, per_size, out=np.full(num_labels, np.inf), where=per_size > 1e-12)
    largest = int(min(available.sum() // num_clients, bounds.min()))
    for size in range(largest, 0, -1):
        counts = _counts_of_size(size, num_clients, num_labels, share)
        if np.all(counts.sum(axis=0) <= available):
            return counts
    raise PartitionError(
        f"partition 'majority-label' cannot give each of {num_clients} clients 1 tile of its majority label: the "
        f"labels have {available.tolist()} training tiles"
    )


def _counts_of_size(size: int, num_clients: int, num_labels: int, share: float) -> Codes:
    majority = round(share * size)
    even, extra = divmod(size - majority, num_labels - 1)
    client = np.arange(num_clients)
    counts = np.full((num_clients, num_labels), even, dtype=np.int64)
    counts[client, client % num_labels] = majority
    for i in range(extra):  # the leftover tiles take turns over the other labels, so that the totals stay balanced
        counts[client, (client + 1 + (client // num_labels + i) % (num_labels - 1)) % num_labels] += 1
    return counts


def _draw_counts(shares: NDArray[np.float64], left: Codes, size: int, rng: np.random.Generator) -> Codes:
    """Draw ``size`` labels without replacement from pools of ``left`` tiles. Returns counts, int64 [num_labels]."""
    taken = np.zeros_like(left)
    while (missing := size - taken.sum()) > 0:
        rest = left - taken
        weights = np.where(rest > 0, shares, 0.0)
        if weights.sum() < 1e-12:  # the client's labels have all run out: what is left, as it is mixed
            weights = rest.astype(np.float64)
        taken += np.minimum(rng.multinomial(missing, weights / weights.sum()), rest)
    return taken
