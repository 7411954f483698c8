"""What a scheme is given, and what it refuses: the codes of the training tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedray.config import PartitionConfig
from fedray.data.whole_groups import Codes
from fedray.errors import UserError

Scheme = Callable[["TrainingTiles", int, PartitionConfig, np.random.Generator], list[Codes]]
"""Returns the positions of each client's tiles in the arrays of the training tiles."""


class PartitionError(UserError, ValueError):
    """The training tiles cannot be spread over the clients as asked. The message gives the rule and the numbers."""


@dataclass(frozen=True, eq=False)
class TrainingTiles:
    """What a scheme knows of the training tiles: their codes, and whether groups stay whole."""

    labels: Codes
    """Label codes, int64 [N]."""
    domains: Codes
    groups: Codes
    clients: Codes
    """Codes of the clients that the store names, -1 where it names none."""
    keep_groups: bool = False
    """Whether no group may be spread over several clients."""
    group_names: tuple[str, ...] = ()
    """Name of each group code; given where groups stay whole."""
    label_names: tuple[str, ...] = ()
    domain_names: tuple[str, ...] = ()
    client_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.labels)

    def num_groups(self) -> int:
        """Return the number of different groups."""
        return len(np.unique(self.groups))

    def take(self, members: Codes) -> "TrainingTiles":
        """Return some of the tiles, given by their positions."""
        return replace(
            self,
            labels=self.labels[members],
            domains=self.domains[members],
            groups=self.groups[members],
            clients=self.clients[members],
        )

    def crossing(self, codes: Codes) -> list[str]:
        """Return the names of the groups that have tiles of several codes."""
        pairs = np.unique(np.stack([self.groups, codes]), axis=1)
        group, times = np.unique(pairs[0], return_counts=True)
        return [self.group_names[code] for code in group[times > 1]]


def check_crossing(tiles: TrainingTiles, codes: Codes, column: str, scheme: str) -> None:
    """Refuse groups that stay whole and have tiles of several codes.

    Raises:
        PartitionError: There are some; the message names them.
    """
    if crossing := tiles.crossing(codes):
        raise PartitionError(
            f"{len(crossing)} of {tiles.num_groups()} groups (patients or slides) have tiles of several {column}s "
            f"({some_of(crossing)}), but partition '{scheme}' would spread them over clients; correct the column "
            f"{column} or group, or allow it with partition.keep_groups=false"
        )


def some_of(names: Sequence[str], num: int = 5) -> str:
    """Write the first of some names."""
    return ", ".join(map(repr, names[:num])) + (", ..." if len(names) > num else "")
