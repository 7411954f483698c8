"""``dirichlet``: label shares that are drawn for each client."""

import numpy as np
from numpy.typing import NDArray

from fedray.config import PartitionConfig
from fedray.data.partitions.tiles import TrainingTiles
from fedray.data.whole_groups import Codes, deal_groups


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
