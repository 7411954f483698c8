"""What a user should know of an experiment before it starts, though nothing is wrong with it."""

from fedray.config import ExperimentConfig
from fedray.data import TileStore, client_partition


def notes(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Say what the configuration does that its values do not show, a sentence each.

    Args:
        config: With all that was unset filled in.
        store: Its tiles.
    """
    partition, num_train = client_partition(config), len(store.indices("train"))
    if not partition.unused:
        return []
    return [
        f"partition {partition.scheme!r} leaves {partition.unused} of {num_train} training tiles unused: all clients "
        "are as large as the rarest label allows"
    ]
