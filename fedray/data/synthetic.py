"""Synthetic tiles that are trained on beside real ones, or instead of them: which of them, and which client has which.

They stand in a store of their own (``classification.synthetic``). What is tested, and what validates, is real.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedray.config import DataConfig, ExperimentConfig
from fedray.data.distribution import local_plan, local_supply
from fedray.data.partitions import deal_evenly
from fedray.data.sources import client_partition
from fedray.data.store import StoreError, TileStore
from fedray.data.supply import supply_beside
from fedray.data.tiles import LabelledTiles, joined
from fedray.randomness import stream

Codes = NDArray[np.int64]
Deal = Callable[[Codes, Codes, int, np.random.Generator], list[Codes]]
"""Returns the positions of each client's tiles, given labels and domains, both [N], and the number of clients."""


def synthetic_store(config: ExperimentConfig) -> TileStore:
    """Open the synthetic tiles of an experiment that trains on some.

    Raises:
        StoreError: They cannot be opened, there is none to train on, or they have another size or other labels than the
            real ones; the message lists all differences.
    """
    return local_supply(config).store


def training_sizes(config: ExperimentConfig) -> Codes:
    """Count the tiles that each client has to train on, of whatever kind, int64 [client].

    Raises:
        StoreError: As of :func:`synthetic_store`, or there are fewer synthetic tiles than wanted.
        AllocationError: As of :func:`fedray.data.distribution.planned`.
        PartitionError: The partition is impossible.
    """
    real = client_partition(config).sizes()
    tiles = config.classification.tiles
    if tiles == "real":
        return real
    if config.federation.mode == "fedssg":
        with_handed: Codes = real + local_plan(config).sum(axis=(1, 2))
        return with_handed
    synthetic = np.array([len(indices) for indices in synthetic_partition(config)], np.int64)
    return synthetic if tiles == "synthetic" else real + synthetic


def with_synthetic(config: ExperimentConfig, real: LabelledTiles, client: int) -> LabelledTiles:
    """Return what a client trains on, of its own and of what it opens itself; what it is handed comes on top.

    Args:
        config: Says of which kind.
        real: The client's own.
        client: Its index.

    Raises:
        StoreError: As of :func:`training_sizes`.
    """
    if config.classification.tiles == "real" or config.federation.mode == "fedssg":
        return real
    synthetic = local_supply(config).read(synthetic_partition(config)[client])
    if config.classification.tiles == "synthetic":
        return synthetic
    return joined(real, synthetic)


def synthetic_partition(config: ExperimentConfig) -> tuple[Codes, ...]:
    """Return the indices of each client's tiles in the synthetic store, int64, ascending; no tile has two clients.

    Raises:
        StoreError: As of :func:`training_sizes`, or a client would have nothing to train on.
    """
    settings = config.classification
    num_real = int(client_partition(config).sizes().sum())
    store = synthetic_store(config)
    available = len(store.indices("train"))
    num = available if settings.synthetic_per_real is None else round(settings.synthetic_per_real * num_real)
    if num > available:
        raise StoreError(
            f"classification.synthetic_per_real is {settings.synthetic_per_real:g}, and there are {num_real} real "
            f"training tiles, so {num} synthetic ones are needed, but {store.path} has {available}; make more of them "
            "(jobs/generate_tiles.py --counts), or lower it"
        )
    if settings.tiles == "synthetic" and num < config.num_clients:
        raise StoreError(
            f"{num} synthetic tiles cannot be dealt to {config.num_clients} clients that train on nothing else; make "
            "more of them (jobs/generate_tiles.py --counts), or lower federation.num_clients"
        )
    assert settings.synthetic is not None
    return _dealt(settings.synthetic, config.data, num, config.num_clients, config.seed)


def evenly(labels: Codes, domains: Codes, num_clients: int, rng: np.random.Generator) -> list[Codes]:
    """Deal tiles whatever the clients have of their own (:func:`fedray.data.partitions.deal_evenly`)."""
    return deal_evenly(labels, num_clients, rng)


def draw_of_each(labels: Codes, num: int, rng: np.random.Generator) -> Codes:
    """Draw tiles so that each label keeps its share, to rounding; a smaller draw is part of a larger one.

    Args:
        labels: [N].
        num: At most N.
        rng: The same for both draws.

    Returns:
        Positions, int64 [num], ascending.
    """
    shuffled = rng.permutation(len(labels))
    # The k-th of n tiles of a label comes at (k + 1/2) / n of the way: cut anywhere, each label has had its share.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return np.sort(shuffled[np.argsort(place[shuffled], kind="stable")][:num])


@lru_cache(maxsize=4)
def _dealt(
    path: str, data: DataConfig, num: int, num_clients: int, seed: int, deal: Deal = evenly
) -> tuple[Codes, ...]:
    store = supply_beside(path, data).store
    train = store.indices("train")
    chosen = train[draw_of_each(store.labels[train], num, stream(seed, "synthetic"))]
    parts = deal(store.labels[chosen], store.domains[chosen], num_clients, stream(seed, "synthetic", "deal"))
    return tuple(np.sort(chosen[part]) for part in parts)
