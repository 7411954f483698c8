"""How many synthetic tiles of which label and domain each client is handed: from counts alone, no tile is looked at.

arXiv 2604.26324 distributes synthetic samples to the clients that lack them and does not say by which rule: these
policies are FedRay's own. Each turns counts into claims, and all claims are met alike: within a budget, in proportion,
in whole tiles by largest remainder. A tile may go to several clients but never twice to one, so that no client gets
more of a cell (a pair of a label and a domain) than the store has.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.errors import UserError

Counts = NDArray[np.int64]


class AllocationError(UserError, ValueError):
    """Nothing can be allocated; the message names the rule, the value and the remedy."""


class Claims(NamedTuple):
    """What a policy would hand out if there were enough."""

    amounts: Counts
    """Of each cell to each client, int64 [client, label, domain], >= 0, in units of 1 / ``per_tile`` tiles."""
    per_tile: int
    """Claims that come to one tile, >= 1."""


Policy = Callable[[Counts, Counts], Claims]
"""Given the clients' counts, int64 [client, label, domain], and the store's, int64 [label, domain]."""


def none(counts: Counts, stock: Counts) -> Claims:
    """Claim nothing."""
    return Claims(np.zeros_like(counts), 1)


def balance(counts: Counts, stock: Counts) -> Claims:
    """Fill each client's labels up to its most frequent one.

    Client c with n(c, l) tiles of label l claims max over l' of n(c, l') - n(c, l) tiles of it: in the domains that c
    has tiles of, as far as the store has the cell, in proportion to c's tiles of the domains (largest remainder, then
    the domain's order).
    """
    by_label, by_domain = counts.sum(axis=2), counts.sum(axis=1)
    missing = by_label.max(axis=1, keepdims=True) - by_label
    claims = np.zeros_like(counts)
    for client, label in zip(*np.nonzero(missing), strict=True):
        weights = by_domain[client] * (stock[label] > 0)
        if weights.any():
            claims[client, label] = _in_proportion(weights, int(missing[client, label]))
    return Claims(claims, 1)


def cover(counts: Counts, stock: Counts) -> Claims:
    """Fill each client's empty cells, whoever else has them or nobody.

    A client with n tiles in k cells claims n / k tiles, rounded up, of every other cell.
    """
    filled = (counts > 0).sum(axis=(1, 2))
    usual = -(-counts.sum(axis=(1, 2)) // np.maximum(filled, 1))
    return Claims((counts == 0) * usual[:, np.newaxis, np.newaxis], 1)


def proportional(counts: Counts, stock: Counts) -> Claims:
    """Claim what each client lacks against the mix of all clients together.

    Of N tiles in all, G(l, d) of them in a cell, a client with n tiles of which n(l, d) are in the cell lacks
    max(0, n G(l, d) / N - n(l, d)). A cell that no client has is lacked by nobody.
    """
    total, of_cell = int(counts.sum()), counts.sum(axis=0)
    expected = counts.sum(axis=(1, 2))[:, np.newaxis, np.newaxis] * of_cell
    return Claims(np.maximum(expected - total * counts, 0), max(total, 1))


POLICIES: dict[str, Policy] = {"none": none, "balance": balance, "cover": cover, "proportional": proportional}


def allocate(policy: str, counts: Counts, stock: Counts, budget: int | None = None) -> Counts:
    """Plan how many tiles of each cell each client is handed.

    A claim is at most what the store has of its cell. Where all claims S together come to more than the budget B, each
    is met to B / S; whole tiles follow by largest remainder, among equal ones by the cell's order, then by the clients'
    counts, so that clients with different counts are treated alike in whatever order they stand.

    Args:
        policy: A name of :data:`POLICIES`.
        counts: Of the clients' own tiles, int64 [client, label, domain], >= 0.
        stock: Tiles of the synthetic store, int64 [label, domain], >= 0.
        budget: Tiles to hand out to all clients together at the most, >= 1; None: as many as are claimed.

    Returns:
        int64 [client, label, domain], each at most ``stock``, together at most ``budget``.

    Raises:
        AllocationError: The budget is no tile at all.
    """
    assert counts.ndim == 3 and counts.shape[1:] == stock.shape, (counts.shape, stock.shape)
    assert counts.min(initial=0) >= 0, "counts are not negative, noised ones neither"
    if budget is not None and budget < 1:
        raise AllocationError(
            f"the budget must be at least 1 tile for all clients together, but got {budget}; raise "
            "classification.synthetic_per_real, or take classification.allocation 'none'"
        )
    amounts, per_tile = POLICIES[policy](counts, stock)
    claims = np.minimum(amounts, per_tile * stock)
    claimed = int(claims.sum()) // per_tile
    order = np.lexsort(counts.reshape(len(counts), -1).T[::-1])  # by what a client has, whatever its place
    plan = np.empty_like(counts)
    plan[order] = _met(claims[order], claimed if budget is None else min(budget, claimed))
    return plan


def check_coverage(counts: Counts, stock: Counts, label_names: Sequence[str], domain_names: Sequence[str]) -> None:
    """Refuse what no policy can mend: a label that nobody has, and tiles of a domain that is nobody's.

    Args:
        counts: Exact ones, int64 [client, label, domain].
        stock: As of :func:`allocate`.
        label_names: In the order of their codes.
        domain_names: In the order of their codes.

    Raises:
        AllocationError: Naming them.
    """
    if missing := [name for name, num in zip(label_names, counts.sum(axis=(0, 2)), strict=True) if num == 0]:
        raise AllocationError(
            f"no client has a training tile of label {', '.join(map(repr, missing))}, so nothing in the federation can "
            "have learned what it looks like; take another partition, or a store without the label"
        )
    nobodys = (counts.sum(axis=(0, 1)) == 0) & (stock.sum(axis=0) > 0)
    if strangers := [name for name, is_nobodys in zip(domain_names, nobodys, strict=True) if is_nobodys]:
        raise AllocationError(
            f"no client has a training tile of domain {', '.join(map(repr, strangers))}, but classification.synthetic "
            "has tiles of it; take another partition, or leave that domain out when the tiles are made"
        )


def _met(claims: Counts, num_tiles: int) -> Counts:
    """Divide tiles in proportion to claims of [client, label, domain], by largest remainder, then cell by cell."""
    by_cell = np.moveaxis(claims, 0, -1)
    divided = _in_proportion(by_cell.ravel(), num_tiles).reshape(by_cell.shape)
    return np.ascontiguousarray(np.moveaxis(divided, -1, 0))


def _in_proportion(weights: Counts, num: int) -> Counts:
    """Divide a number in proportion to weights, int64 [n]: largest remainder, among equal ones the first."""
    total = int(weights.sum())
    if total == 0 or num == 0:
        return np.zeros_like(weights)
    exact = weights.astype(object) * num  # Python's integers: the products may exceed 64 bits
    shares, remainders = exact // total, exact % total
    left = num - int(shares.sum())
    shares[sorted(range(len(weights)), key=lambda place: -remainders[place])[:left]] += 1
    return shares.astype(np.int64)
