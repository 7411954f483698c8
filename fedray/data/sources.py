"""Where a process's training tiles come from: a share of one store that all processes have, or a store of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedray.config import SITES, DataConfig, ExperimentConfig, PartitionConfig
from fedray.data.catalog import DATASETS, open_store
from fedray.data.partitions import Partition, partition_store
from fedray.data.some_domains import of_domain
from fedray.data.store import StoreError, TileStore
from fedray.data.tiles import LabelledTiles, TileShape, count_cells, count_clipped
from fedray.storage import is_uri


class TileSource(Protocol):
    """The training tiles that a process can reach."""

    def shape(self) -> TileShape:
        """Return what the experiment's tiles have in common, over all clients."""
        ...

    def tiles(self, client: int) -> LabelledTiles:
        """Read the tiles of a client, by its index; at least one."""
        ...

    def counts(self, client: int) -> NDArray[np.int64]:
        """Count the tiles of a client, int64 [label, domain], without reading one."""
        ...

    def clipped_counts(self, client: int, limit: float) -> NDArray[np.float64]:
        """Count them as :func:`fedray.data.tiles.count_clipped` does, float64 [label, domain]."""
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

    def counts(self, client: int) -> NDArray[np.int64]:
        """Count the tiles that the partition gives a client, int64 [label, domain]."""
        own = self._partition.clients[client]
        return count_cells(self.shape(), self._store.labels[own], self._store.domains[own])

    def clipped_counts(self, client: int, limit: float) -> NDArray[np.float64]:
        """Count them with no group for more than a limit, float64 [label, domain]."""
        own, store = self._partition.clients[client], self._store
        return count_clipped(self.shape(), store.labels[own], store.domains[own], store.groups[own], limit)


class OwnStore:
    """A store that this process alone has: a hospital's. All of its training tiles are its client's.

    Labels and domains count as the experiment counts them, by their names: a site may have some of them only.
    """

    def __init__(self, store: TileStore, label_names: Sequence[str], domain_names: Sequence[str]) -> None:
        """Take the store, and the names of the experiment's labels and domains in the order of their codes.

        Raises:
            StoreError: The store has a label or a domain that is none of these.
        """
        self._store = store
        self._labels = codes_of(store, "label", store.label_names, label_names)
        self._domains = codes_of(store, "domain", store.domain_names, domain_names)
        self._shape = TileShape(store.tile_size, store.channels, len(label_names), len(domain_names))

    def shape(self) -> TileShape:
        """Return what the tiles of all sites have in common."""
        return self._shape

    def tiles(self, client: int) -> LabelledTiles:
        """Read the store's training tiles, whoever the client is."""
        own = _read(self._store, self._store.indices("train"))
        return own._replace(labels=self._labels[own.labels], domains=self._domains[own.domains])

    def counts(self, client: int) -> NDArray[np.int64]:
        """Count the store's training tiles, int64 [label, domain]."""
        own = self._store.indices("train")
        return count_cells(self._shape, self._labels[self._store.labels[own]], self._domains[self._store.domains[own]])

    def clipped_counts(self, client: int, limit: float) -> NDArray[np.float64]:
        """Count them with no group for more than a limit, float64 [label, domain]."""
        own, store = self._store.indices("train"), self._store
        labels, domains = self._labels[store.labels[own]], self._domains[store.domains[own]]
        return count_clipped(self._shape, labels, domains, store.groups[own], limit)


class KnownTiles(Protocol):
    """What is known of tiles, wherever they lie: a store says it, or sites do of theirs together."""

    @property
    def name(self) -> str:
        """Name for people."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of what they are."""
        ...

    @property
    def tile_size(self) -> int:
        """Edge in pixels."""
        ...

    @property
    def channels(self) -> int:
        """Colour channels."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """In the order of their codes."""
        ...

    @property
    def domain_names(self) -> tuple[str, ...]:
        """In the order of their codes."""
        ...


@dataclass(frozen=True)
class Census:
    """What a server must know of the clients' tiles, though it may have none itself."""

    shape: TileShape
    label_names: tuple[str, ...]
    """In the order of their codes."""
    domain_names: tuple[str, ...]
    sizes: tuple[int, ...]
    """Training tiles of each client."""
    fingerprint: str = ""
    """Of all their stores together; of the one store where there is one."""

    @property
    def name(self) -> str:
        """Name of the tiles for people, where every client has its own."""
        return SITES

    @property
    def tile_size(self) -> int:
        """Edge in pixels."""
        return self.shape.size

    @property
    def channels(self) -> int:
        """Colour channels."""
        return self.shape.channels


def census_of(config: ExperimentConfig) -> Census:
    """Count in this process's store what a server must know.

    Raises:
        StoreError: It cannot be opened, or every site has its own.
        PartitionError: The partition is impossible.
    """
    store = local_store(config.data)
    sizes = tuple(client_partition(config).sizes().tolist())
    return Census(store_shape(store), store.label_names, store.domain_names, sizes, store.fingerprint)


@lru_cache(maxsize=4)
def local_store(data: DataConfig) -> TileStore:
    """Open the store once a process. Errors as of :func:`fedray.data.open_store`."""
    return open_store(data)


@lru_cache(maxsize=4)
def external_store(data: DataConfig) -> TileStore | None:
    """Open the tiles of the domain that is held out; None: none is. Errors as of :func:`fedray.data.open_store`."""
    if data.held_out_domain is None:
        return None
    return of_domain(local_store(data.model_copy(update={"held_out_domain": None})), data.held_out_domain)


def beside_store(field: str, path: str) -> TileStore:
    """Open a store that is read beside the experiment's own, by the configuration's field that names it.

    Raises:
        StoreError: There is none, or it cannot be opened.
    """
    if not is_uri(path) and path not in DATASETS and not Path(path).expanduser().exists():
        raise StoreError(
            f"{field} must be a tile store's path, or its s3:// or gs:// address, but there is no {path!r} "
            "(jobs/generate_tiles.py makes one)"
        )
    return local_store(DataConfig(store=path))


def stores_beside(config: ExperimentConfig) -> list[TileStore]:
    """Open all stores that an experiment reads beside its own. Errors as of :func:`beside_store`."""
    return [beside_store(f"{config.task}.{field}", path) for field, path in config.family.other_stores.items()]


def partitioned_store(config: ExperimentConfig) -> PartitionedStore:
    """Return the source of a process that has the experiment's store."""
    return PartitionedStore(local_store(config.data), client_partition(config))


def own_store(path: str, data: DataConfig, label_names: Sequence[str], domain_names: Sequence[str]) -> OwnStore:
    """Return the source of a site.

    Args:
        path: Of its store, as its operator says.
        data: As the experiment says, where every site has its own.
        label_names: Of all sites.
        domain_names: Of all sites.

    Raises:
        StoreError: The experiment names a store, or the site's cannot be opened, has tiles of another size, or no
            training tile, or names that were not agreed upon.
    """
    return OwnStore(site_store(path, data), label_names, domain_names)


def site_store(path: str, data: DataConfig) -> TileStore:
    """Open a site's own store. Arguments and errors as of :func:`own_store`."""
    if data.store != SITES:
        raise StoreError(
            f"this site trains on its own tiles ({path}), but the experiment asks for data.store {data.store!r}; set "
            f"data.store to {SITES!r}, or start the site without a store in its node configuration"
        )
    store = local_store(DataConfig(store=path, tile_size=data.tile_size))
    if len(store.indices("train")) == 0:
        raise StoreError(f"the tile store {path} of this site has no training tile; make it with others in it")
    return store


def store_shape(store: KnownTiles) -> TileShape:
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


def codes_of(store: TileStore, kind: str, own: Sequence[str], agreed: Sequence[str]) -> NDArray[np.int64]:
    """Return the agreed code of each of a store's own, int64 [own].

    Args:
        store: For messages.
        kind: ``label`` or ``domain``.
        own: Names in the store, in the order of its codes.
        agreed: Names in the experiment, in the order of their codes.

    Raises:
        StoreError: The store has a name that was not agreed upon.
    """
    known = {name: code for code, name in enumerate(agreed)}
    if unknown := [name for name in own if name not in known]:
        raise StoreError(
            f"the tile store {store.path} has the {kind} {unknown[0]!r}, but the experiment began with "
            f"{', '.join(map(repr, agreed))}; start it again, so that all sites are asked anew"
        )
    return np.array([known[name] for name in own], np.int64)
