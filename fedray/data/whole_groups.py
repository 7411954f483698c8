"""Whole groups: patients are dealt to clients as they are, so that the counts come as near to a target as they can."""

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


def deal_groups(labels: Codes, groups: Codes, target: NDArray[np.float64], rng: np.random.Generator) -> list[Codes]:
    """Deal whole groups to clients, the largest first; equally large ones in random order.

    A group goes to the client whose counts it brings nearest to the target: the least sum of squared distances over
    the labels and the size, each in units of its mean over the clients, so that a rare label weighs as much as a
    frequent one. Every client gets at least 1 group.

    Args:
        labels: Label code of each tile, int64 [N].
        groups: Group code of each tile, int64 [N]; at least as many different ones as clients.
        target: Wanted tiles of each client and label, [num_clients, num_labels]; they need not be whole numbers.
        rng: Of the order.

    Returns:
        Positions of each client's tiles in ``labels``, ascending.
    """
    counts, index = count_groups(labels, groups, target.shape[1])
    num_groups, num_clients = len(counts), len(target)
    assert num_groups >= num_clients, "every client needs a group; the caller says so to the user"
    missing, dealt = _with_size(target), _with_size(counts)
    unit = np.where(missing.any(axis=0), missing.mean(axis=0), 1.0)
    missing, dealt = missing / unit, dealt / unit
    order = rng.permutation(num_groups)
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    owner = np.zeros(num_groups, dtype=np.int64)
    is_empty = np.ones(num_clients, dtype=bool)
    for num_dealt, group in enumerate(order):
        # |missing - dealt|^2 - |missing|^2 is smallest where the inner product is largest.
        gain = missing @ dealt[group]
        if num_groups - num_dealt <= is_empty.sum():
            gain = np.where(is_empty, gain, -np.inf)
        client = int(np.argmax(gain))
        owner[group] = client
        is_empty[client] = False
        missing[client] -= dealt[group]
    owners = owner[index]
    return np.split(np.argsort(owners, kind="stable"), np.cumsum(np.bincount(owners, minlength=num_clients))[:-1])


def count_groups(labels: Codes, groups: Codes, num_labels: int) -> tuple[Codes, Codes]:
    """Count the labels of each group.

    Returns:
        The counts, int64 [num_groups, num_labels], and the row of each tile in them, int64 [N].
    """
    codes, index = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(codes), num_labels), dtype=np.int64)
    np.add.at(counts, (index, labels), 1)
    return counts, index


def _with_size(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Append the sum over the labels as a column of its own."""
    return np.column_stack([counts, counts.sum(axis=1)]).astype(np.float64)
