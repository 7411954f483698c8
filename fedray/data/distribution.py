"""Synthetic tiles that the server hands to clients: how many to whom, and which of the store's (arXiv 2604.26324)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedray.config import ClassificationConfig, ExperimentConfig
from fedray.data.allocation import Counts, allocate, check_coverage
from fedray.data.sources import TileSource, local_store, partitioned_store
from fedray.data.supply import Codes, Supply, supply_beside
from fedray.randomness import stream


def local_supply(config: ExperimentConfig) -> Supply:
    """Open the synthetic tiles beside this process's real ones.

    Raises:
        StoreError: As of :func:`fedray.data.supply.supply_for`.
    """
    path = config.classification.synthetic
    assert path is not None, "the configuration names a store wherever synthetic tiles are trained on"
    return supply_beside(path, config.data)


def countable(settings: ClassificationConfig, source: TileSource, client: int) -> NDArray[np.float64]:
    """Count a client's tiles as it tells them, but for noise: float64 [label, domain], whole unless clipped."""
    if settings.count_clip is None:
        return source.counts(client).astype(np.float64)
    return source.clipped_counts(client, settings.count_clip)


def local_plan(config: ExperimentConfig) -> Counts:
    """Plan from counts of this process's store; noised ones come to something near it.

    Returns:
        int64 [client, label, domain].

    Raises:
        StoreError: As of :func:`fedray.data.supply.supply_for`.
        AllocationError: As of :func:`planned`.
        PartitionError: The partition is impossible.
    """
    store, source, supply = local_store(config.data), partitioned_store(config), local_supply(config)
    told = [countable(config.classification, source, client) for client in range(config.num_clients)]
    counts: Counts = np.rint(np.stack(told)).astype(np.int64)
    if config.classification.allocation != "none":
        check_coverage(counts, supply.stock(), store.label_names, store.domain_names)
    return planned(config, counts, supply.stock())


def planned(config: ExperimentConfig, counts: Counts, stock: Counts) -> Counts:
    """Plan what the configuration says.

    Args:
        config: Of the experiment.
        counts: What the clients told, int64 [client, label, domain].
        stock: Of the synthetic store, int64 [label, domain].

    Returns:
        int64 [client, label, domain].

    Raises:
        AllocationError: The budget comes to no tile.
    """
    settings = config.classification
    per_real = settings.synthetic_per_real
    budget = None if per_real is None or settings.allocation == "none" else round(per_real * int(counts.sum()))
    return allocate(settings.allocation, counts, stock, budget)


def handed_out(supply: Supply, plan: Counts, seed: int, turn: int) -> list[Codes]:
    """Choose tiles of the store for each client.

    The tiles of a cell stand in one random order, and go out one after another, client by client and turn by turn;
    after the last one the first comes again. So a tile goes to a second client, or out again, once all of its cell have
    gone out.

    Args:
        supply: The store.
        plan: Of :func:`planned`.
        seed: Of the experiment.
        turn: 0 for the first distribution.

    Returns:
        Indices of each client's tiles in the store, int64, ascending, none twice.
    """
    train = supply.store.indices("train")
    labels, domains = supply.codes(train)
    chosen: list[list[Codes]] = [[] for _ in plan]
    for label, domain in zip(*np.nonzero(plan.sum(axis=0)), strict=True):
        cell = train[(labels == label) & (domains == domain)]
        cell = stream(seed, "distribution", int(label), int(domain)).permutation(cell)
        of_clients = plan[:, label, domain]
        ends = turn * int(of_clients.sum()) + np.cumsum(of_clients)
        for client, (num, end) in enumerate(zip(of_clients.tolist(), ends.tolist(), strict=True)):
            chosen[client].append(cell[np.arange(end - num, end) % len(cell)])
    return [np.sort(np.concatenate([np.empty(0, np.int64), *parts])) for parts in chosen]


def distinct(choices: Sequence[Codes]) -> dict[bytes, list[int]]:
    """Group clients that are handed the same tiles, by what tells the choices apart."""
    groups: dict[bytes, list[int]] = {}
    for client, indices in enumerate(choices):
        groups.setdefault(indices.tobytes(), []).append(client)
    return groups
