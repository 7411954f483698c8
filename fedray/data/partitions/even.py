"""``iid``: every client the same mix."""

import numpy as np

from fedray.config import PartitionConfig
from fedray.data.partitions.tiles import TrainingTiles
from fedray.data.whole_groups import Codes, deal_groups


def iid(tiles: TrainingTiles, num_clients: int, config: PartitionConfig, rng: np.random.Generator) -> list[Codes]:
    """Deal the shuffled tiles of each label in turn: sizes, and the counts of each label, differ by at most 1.

    Groups that stay whole are dealt to the same even counts, as near as they allow.
    """
    if tiles.keep_groups:
        totals = np.bincount(tiles.labels)
        return deal_groups(tiles.labels, tiles.groups, np.tile(totals / num_clients, (num_clients, 1)), rng)
    return deal_evenly(tiles.labels, num_clients, rng)


def deal_evenly(labels: Codes, num_clients: int, rng: np.random.Generator) -> list[Codes]:
    """Deal shuffled tiles label by label: sizes, and the counts of each label, differ by at most 1.

    Args:
        labels: [N].
        num_clients: At least 1; those beyond N get nothing.
        rng: Of the order.

    Returns:
        Positions of each client's tiles in ``labels``.
    """
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [by_label[client::num_clients] for client in range(num_clients)]
