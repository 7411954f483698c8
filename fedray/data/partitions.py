"""Partitions: which training tile belongs to which client. A scheme is a pure function of the codes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedray.config import PartitionConfig
from fedray.data.store import TileStore
from fedray.randomness import stream

Codes = NDArray[np.int64]
Scheme = Callable[[Codes, Codes, Codes, int, PartitionConfig, np.random.Generator], list[Codes]]


class PartitionError(ValueError):
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


def partition_store(store: TileStore, config: PartitionConfig, num_clients: int, seed: int) -> Partition:
    """Spread a store's training tiles over the clients. Groups (patients) may be shared between clients.

    Raises:
        PartitionError: More clients than training tiles, or the scheme cannot be met; the message gives the numbers.
    """
    train = store.indices("train")
    if not 1 <= num_clients <= len(train):
        raise PartitionError(
            f"num_clients must be from 1 to the number of training tiles, {len(train)} in {store.name!r}, "
            f"but got {num_clients}; every client needs at least 1 tile, so lower federation.num_clients"
        )
    scheme = PARTITIONS[config.scheme]
    codes = (store.labels[train], store.domains[train], store.groups[train])
    parts = scheme(*codes, num_clients, config, stream(seed, "partition"))
    clients = tuple(train[np.sort(part)] for part in parts)
    return Partition(clients, config.scheme, unused=len(train) - sum(len(client) for client in clients))


def iid(
    labels: Codes, domains: Codes, groups: Codes, num_clients: int, config: PartitionConfig, rng: np.random.Generator
) -> list[Codes]:
    """Deal the shuffled tiles of each label in turn: sizes, and the counts of each label, differ by at most 1."""
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [by_label[client::num_clients] for client in range(num_clients)]


def majority_label(
    labels: Codes, domains: Codes, groups: Codes, num_clients: int, config: PartitionConfig, rng: np.random.Generator
) -> list[Codes]:
    """Give each client one over-represented label: the non-IID setting of arXiv 2504.04130.

    All clients have the same size, the largest that the rarest label allows; the tiles beyond it stay unused. Client
    k has exactly ``round(majority_share * size)`` tiles of the label k modulo the number of labels, and the others
    evenly. Over all clients the labels are exactly balanced where the number of labels divides the number of clients.

    Raises:
        PartitionError: Fewer than 2 labels, a share below an even one, or too few tiles of a label.
    """
    available = np.bincount(labels)
    num_labels = np.count_nonzero(available)
    if num_labels < 2 or config.majority_share < 1 / num_labels:
        raise PartitionError(
            "partition 'majority-label' needs at least 2 labels and a majority_share of at least 1 / labels, but got "
            f"{num_labels} labels and {config.majority_share}"
        )
    present = np.flatnonzero(available)
    counts = _majority_counts(available[present], num_clients, config.majority_share)
    pools = [rng.permutation(np.flatnonzero(labels == label)) for label in present]
    ends = counts.cumsum(axis=0)
    starts = ends - counts
    return [
        np.concatenate([pool[starts[k, i] : ends[k, i]] for i, pool in enumerate(pools)]) for k in range(num_clients)
    ]


def dirichlet(
    labels: Codes, domains: Codes, groups: Codes, num_clients: int, config: PartitionConfig, rng: np.random.Generator
) -> list[Codes]:
    """Draw each client's label shares from Dirichlet(alpha * global shares) (Hsu et al. 2019, arXiv 1909.06335).

    Every tile is dealt, and sizes differ by at most 1. Clients draw in random order; where a label has run out, the
    shares of the others are renormalised, so the last clients to draw follow their shares less closely.
    """
    pools = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    left = np.array([len(pool) for pool in pools])
    prior = left / left.sum()
    base, larger = divmod(len(labels), num_clients)
    parts: list[Codes] = [np.empty(0, np.int64)] * num_clients
    for client in rng.permutation(num_clients):
        shares = rng.dirichlet(config.alpha * prior)
        taken = _draw_counts(shares, left, base + int(client < larger), rng)
        parts[client] = np.concatenate(
            [pool[rest - count : rest] for pool, rest, count in zip(pools, left, taken, strict=True)]
        )
        left = left - taken
    return parts


def domain(
    labels: Codes, domains: Codes, groups: Codes, num_clients: int, config: PartitionConfig, rng: np.random.Generator
) -> list[Codes]:
    """Give each client tiles of one domain: client k has the domain k modulo their number, shared evenly as in 'iid'.

    Raises:
        PartitionError: Fewer than 2 domains, fewer clients than domains, or a domain with fewer tiles than clients.
    """
    present = np.unique(domains)
    if not 2 <= len(present) <= num_clients:
        raise PartitionError(
            "partition 'domain' needs at least 2 domains and at least as many clients as domains, but got "
            f"{len(present)} domains and {num_clients} clients; choose another partition.scheme, or change "
            "data.num_domains (for 'colon') or federation.num_clients"
        )
    parts: list[Codes] = [np.empty(0, np.int64)] * num_clients
    for i, code in enumerate(present):
        members = np.flatnonzero(domains == code)
        clients = range(i, num_clients, len(present))
        if len(members) < len(clients):
            raise PartitionError(
                f"partition 'domain' needs 1 tile a client, but domain {code} has {len(members)} training tiles for "
                f"{len(clients)} of the {num_clients} clients"
            )
        shared = iid(labels[members], domains[members], groups[members], len(clients), config, rng)
        for client, part in zip(clients, shared, strict=True):
            parts[client] = members[part]
    return parts


PARTITIONS: dict[str, Scheme] = {
    "iid": iid,
    "majority-label": majority_label,
    "dirichlet": dirichlet,
    "domain": domain,
}


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
