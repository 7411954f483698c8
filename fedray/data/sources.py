"""Where a process's training tiles come from."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedray.config import DataConfig, ExperimentConfig, PartitionConfig
from fedray.data.catalog import open_store
from fedray.data.partitions import Partition, partition_store
from fedray.data.store import TileStore
from fedray.data.tiles import LabelledTiles, TileShape


class TileSource(Protocol):
    """The training tiles that a process can reach."""

    def shape(self) -> TileShape:
        """Return what the experiment's tiles have in common, over all clients."""
        ...

    def tiles(self, client: int) -> LabelledTiles:
        """Read the tiles of a client, by its index; at least one."""
        ...


class PartitionedStore:
    """One store, dealt out to the clients: the simulation, where every process has all tiles."""

    def __init__(self, store: TileStore, partition: Partition) -> None:
        """Take the store and who has which of its tiles."""
        self._store, self._partition = store, partition

    def shape(self) -> TileShape:
        """Return what the store's tiles have in common."""
        return store_shape(self._store)

    def tiles(self, client: int) -> LabelledTiles:
        """Read the tiles that the partition gives a client."""
        return _read(self._store, self._partition.clients[client])


@dataclass(frozen=True)
class Census:
    """What a server must know of the clients' tiles, though it may have none itself."""

    shape: TileShape
    label_names: tuple[str, ...]
    """In the order of their codes."""
    domain_names: tuple[str, ...]
    sizes: tuple[int, ...]
    """Training tiles of each client."""


def census_of(config: ExperimentConfig) -> Census:
    """Count in this process's store what a server must know.

    Raises:
        StoreError: It cannot be opened.
        PartitionError: The partition is impossible.
    """
    store = local_store(config.data)
    sizes = tuple(client_partition(config).sizes().tolist())
    return Census(store_shape(store), store.label_names, store.domain_names, sizes)


@lru_cache(maxsize=4)
def local_store(data: DataConfig) -> TileStore:
    """Open the store once a process. Errors as of :func:`fedray.data.open_store`."""
    return open_store(data)


def partitioned_store(config: ExperimentConfig) -> PartitionedStore:
    """Return the source of a process that has the experiment's store."""
    return PartitionedStore(local_store(config.data), client_partition(config))


def store_shape(store: TileStore) -> TileShape:
    """Return what the tiles of a store have in common."""
    return TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))


def tile_shape(data: DataConfig) -> TileShape:
    """Return what the tiles of this process's store have in common."""
    return store_shape(local_store(data))


def client_partition(config: ExperimentConfig) -> Partition:
    """Partition of the experiment's training tiles; in centralised mode one client has them all."""
    scheme = PartitionConfig() if config.federation.mode == "centralised" else config.partition
    return _partition(config.data, scheme, config.num_clients, config.seed)


@lru_cache(maxsize=4)
def _partition(data: DataConfig, scheme: PartitionConfig, num_clients: int, seed: int) -> Partition:
    return partition_store(local_store(data), scheme, num_clients, seed)


def _read(store: TileStore, indices: NDArray[np.int64]) -> LabelledTiles:
    return LabelledTiles(store.tiles(indices), store.labels[indices], store.domains[indices])
