"""Synthetic tiles that are trained on beside real ones, or instead of them: which of them, and which client has which.

They stand in a store of their own (``classification.synthetic``). What is tested, and what validates, is real.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedray.config import DataConfig, ExperimentConfig
from fedray.data.partitions import deal_evenly
from fedray.data.sources import beside_store, client_partition, local_store
from fedray.data.store import StoreError, TileStore
from fedray.data.tiles import LabelledTiles
from fedray.randomness import stream

Codes = NDArray[np.int64]
Deal = Callable[[Codes, Codes, int, np.random.Generator], list[Codes]]
"""Returns the positions of each client's tiles, given labels and domains, both [N], and the number of clients."""

_REMEDY = "take tiles of a run that learned from that store (jobs/generate_tiles.py)"


def synthetic_store(config: ExperimentConfig) -> TileStore:
    """Open the synthetic tiles of an experiment that trains on some.

    Raises:
        StoreError: They cannot be opened, there is none to train on, or they have another size or other labels than the
            real ones; the message lists all differences.
    """
    path = config.classification.synthetic
    assert path is not None, "the configuration names a store wherever synthetic tiles are trained on"
    return _opened(path, config.data)


def training_sizes(config: ExperimentConfig) -> Codes:
    """Count the tiles that each client has to train on, of whatever kind, int64 [client].

    Raises:
        StoreError: As of :func:`synthetic_store`, or there are fewer synthetic tiles than wanted.
        PartitionError: The partition is impossible.
    """
    real = client_partition(config).sizes()
    tiles = config.classification.tiles
    if tiles == "real":
        return real
    synthetic = np.array([len(indices) for indices in synthetic_partition(config)], np.int64)
    return synthetic if tiles == "synthetic" else real + synthetic


def with_synthetic(config: ExperimentConfig, real: LabelledTiles, client: int) -> LabelledTiles:
    """Return what a client trains on.

    Args:
        config: Says of which kind.
        real: The client's own.
        client: Its index.

    Raises:
        StoreError: As of :func:`training_sizes`.
    """
    if config.classification.tiles == "real":
        return real
    synthetic = _read(config, synthetic_partition(config)[client])
    if config.classification.tiles == "synthetic":
        return synthetic
    tiles, labels, domains = (np.concatenate([real[part], synthetic[part]]) for part in range(3))
    return LabelledTiles(tiles, labels, domains)


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
    store = _opened(path, data)
    train = store.indices("train")
    chosen = train[draw_of_each(store.labels[train], num, stream(seed, "synthetic"))]
    parts = deal(store.labels[chosen], store.domains[chosen], num_clients, stream(seed, "synthetic", "deal"))
    return tuple(np.sort(chosen[part]) for part in parts)


@lru_cache(maxsize=4)
def _opened(path: str, data: DataConfig) -> TileStore:
    real, synthetic = local_store(data), beside_store("classification.synthetic", path)
    if problems := _differences(real, synthetic):
        raise StoreError(
            f"the synthetic tiles in {path} (classification.synthetic) do not go with the real ones in {real.path}: "
            f"{'; '.join(problems)}; {_REMEDY}"
        )
    return synthetic


def _differences(real: TileStore, synthetic: TileStore) -> list[str]:
    """Say in what synthetic tiles differ from what they are trained on with."""
    problems = []
    for what, unit in (("tile_size", "px"), ("channels", "channels")):
        ours, theirs = getattr(real, what), getattr(synthetic, what)
        if ours != theirs:
            problems.append(f"they have {theirs} {unit}, not {ours}")
    if set(real.label_names) != set(synthetic.label_names):
        problems.append(f"their labels are {_named(synthetic.label_names)}, not {_named(real.label_names)}")
    if unknown := [name for name in synthetic.domain_names if name not in real.domain_names]:
        problems.append(f"their domain {unknown[0]!r} is none of {_named(real.domain_names)}")
    if len(synthetic.indices("train")) == 0:
        problems.append("none of them is in the split 'train'")
    return problems


def _read(config: ExperimentConfig, indices: Codes) -> LabelledTiles:
    """Read synthetic tiles, with the real ones' codes: the same names may stand in another order."""
    real, synthetic = local_store(config.data), synthetic_store(config)
    labels, domains = (
        np.array([ours.index(name) for name in theirs], np.int64)
        for ours, theirs in (
            (real.label_names, synthetic.label_names),
            (real.domain_names, synthetic.domain_names),
        )
    )
    return LabelledTiles(
        synthetic.tiles(indices), labels[synthetic.labels[indices]], domains[synthetic.domains[indices]]
    )


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
