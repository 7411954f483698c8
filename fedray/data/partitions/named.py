"""``client``: every client the tiles that the store names for it."""

import numpy as np

from fedray.config import PartitionConfig
from fedray.data.partitions.tiles import PartitionError, TrainingTiles, check_crossing, some_of
from fedray.data.whole_groups import Codes


def client(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Give each client the tiles that the store names for it; client k is the one with the k-th name in the alphabet.

    Raises:
        PartitionError: The store names no client, or another number of them, a tile has none, or a group that stays
            whole is with several.
    """
    names = tiles.client_names
    if not names:
        raise PartitionError(
            "partition 'client' needs a store that names its clients, but this one names none; make it from a CSV file "
            "with a column client, or choose another partition.scheme"
        )
    if unnamed := int(np.sum(tiles.clients < 0)):
        raise PartitionError(
            f"partition 'client' needs a client for each training tile, but {unnamed} of {len(tiles)} have none; fill "
            "the CSV file's column client, or choose another partition.scheme"
        )
    if len(names) != num_clients:
        raise PartitionError(
            f"the training tiles are with {len(names)} client(s) ({some_of(sorted(names))}), but "
            f"federation.num_clients is {num_clients}; set it to {len(names)}, or choose another partition.scheme"
        )
    if tiles.keep_groups:
        check_crossing(tiles, tiles.clients, "client", "client")
    codes = np.unique(tiles.clients)[np.argsort(np.array(names), kind="stable")]
    return [np.flatnonzero(tiles.clients == code) for code in codes]
