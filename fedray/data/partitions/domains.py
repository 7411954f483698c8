"""``domain``: every client tiles of one domain."""

import numpy as np

from fedray.config import PartitionConfig
from fedray.data.partitions.even import iid
from fedray.data.partitions.tiles import PartitionError, TrainingTiles, check_crossing
from fedray.data.whole_groups import Codes


def domain(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Give each client tiles of one domain: client k has the domain k modulo their number, shared evenly as in 'iid'.

    Raises:
        PartitionError: Fewer than 2 domains, fewer clients than domains, a domain with fewer tiles or groups than
            clients, or a group that stays whole in several domains.
    """
    present = np.unique(tiles.domains)
    if not 2 <= len(present) <= num_clients:
        raise PartitionError(
            "partition 'domain' needs at least 2 domains and at least as many clients as domains, but got "
            f"{len(present)} domains and {num_clients} clients; choose another partition.scheme, or change "
            "data.num_domains (for 'colon') or federation.num_clients"
        )
    if tiles.keep_groups:
        check_crossing(tiles, tiles.domains, "domain", "domain")
    parts: list[Codes] = [np.empty(0, np.int64)] * num_clients
    for i, code in enumerate(present):
        members = tiles.take(chosen := np.flatnonzero(tiles.domains == code))
        clients = range(i, num_clients, len(present))
        unit, found = ("group", members.num_groups()) if tiles.keep_groups else ("tile", len(members))
        if found < len(clients):
            name = repr(tiles.domain_names[code]) if tiles.domain_names else code
            raise PartitionError(
                f"partition 'domain' needs 1 {unit} a client, but domain {name} has {found} training {unit}s for "
                f"{len(clients)} of the {num_clients} clients; lower federation.num_clients"
            )
        for client, part in zip(clients, iid(members, len(clients), config, rng), strict=True):
            parts[client] = chosen[part]
    return parts
