"""``majority-label``: balanced overall, each client with one over-represented label."""

import numpy as np

from fedray.config import PartitionConfig
from fedray.data.partitions.tiles import PartitionError, TrainingTiles
from fedray.data.whole_groups import Codes, deal_groups


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
