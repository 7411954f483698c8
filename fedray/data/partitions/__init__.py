"""Partitions: which training tile belongs to which client. A scheme is a pure function of the codes, one a file."""

from dataclasses import dataclass

import numpy as np

from fedray.config import PartitionConfig
from fedray.data.partitions.domains import domain
from fedray.data.partitions.even import deal_evenly, iid
from fedray.data.partitions.imbalanced import imbalance
from fedray.data.partitions.majority import majority_label
from fedray.data.partitions.named import client
from fedray.data.partitions.shares import dirichlet
from fedray.data.partitions.tiles import PartitionError, Scheme, TrainingTiles
from fedray.data.store import TileStore
from fedray.data.whole_groups import Codes
from fedray.randomness import stream

__all__ = [
    "PARTITIONS",
    "WHY_UNUSED",
    "Partition",
    "PartitionError",
    "Scheme",
    "TrainingTiles",
    "deal_evenly",
    "partition_store",
    "training_tiles",
]

PARTITIONS: dict[str, Scheme] = {
    "iid": iid,
    "majority-label": majority_label,
    "dirichlet": dirichlet,
    "domain": domain,
    "client": client,
    "imbalance": imbalance,
}

WHY_UNUSED = {
    "majority-label": "all clients are as large as the rarest label allows",
    "imbalance": "beyond partition.tail_ratio, of partition.absent_cells, or in cells that a patient's client lacks",
}
"""Why a scheme leaves training tiles to nobody; of the other schemes none does."""


@dataclass(frozen=True, eq=False)
class Partition:
    """The training tiles of every client, as indices into a store; no pixel is copied."""

    clients: tuple[Codes, ...]
    """Store indices of each client's tiles, int64, ascending; no tile belongs to two clients."""
    scheme: str
    """Name of the scheme."""
    unused: int = 0
    """Training tiles that no client has; above 0 for 'majority-label' and 'imbalance' only."""
    names: tuple[str, ...] = ()
    """Name of each client, for 'client' only."""

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
    """Spread a store's training tiles over the clients. Patients stay whole unless ``keep_groups`` says otherwise.

    Raises:
        PartitionError: There are more clients than training tiles or than groups that stay whole, or the scheme cannot
            be met; the message gives the numbers.
    """
    train = store.indices("train")
    if not 1 <= num_clients <= len(train):
        raise PartitionError(
            f"num_clients must be from 1 to the number of training tiles, {len(train)} in {store.name!r}, "
            f"but got {num_clients}; every client needs at least 1 tile, so lower federation.num_clients"
        )
    tiles = training_tiles(store, config)
    if config.scheme != "client" and tiles.keep_groups and tiles.num_groups() < num_clients:
        raise PartitionError(
            f"the {len(train)} training tiles of {store.name!r} come from {tiles.num_groups()} group(s) (patients "
            f"or slides), which stay whole, but federation.num_clients is {num_clients}; lower it, or let groups be "
            "spread over clients with partition.keep_groups=false"
        )
    parts = PARTITIONS[config.scheme](tiles, num_clients, config, stream(seed, "partition"))
    clients = tuple(train[np.sort(part)] for part in parts)
    names = tuple(sorted(tiles.client_names)) if config.scheme == "client" else ()
    return Partition(clients, config.scheme, len(train) - sum(len(client) for client in clients), names)


def training_tiles(store: TileStore, config: PartitionConfig) -> TrainingTiles:
    """Return the training tiles of a store, and decide whether their groups stay whole."""
    train = store.indices("train")
    groups, clients = store.groups[train], store.clients[train]
    wanted = store.group_kind == "patient" if config.keep_groups is None else config.keep_groups
    # Where every tile is a group of its own there is nothing to keep: the partition is the one without groups.
    keep = wanted and len(np.unique(groups)) < len(train)
    return TrainingTiles(
        store.labels[train],
        store.domains[train],
        groups,
        clients,
        keep,
        store.group_names if keep else (),
        store.label_names,
        store.domain_names,
        tuple(store.client_names[code] for code in np.unique(clients[clients >= 0])),
    )
