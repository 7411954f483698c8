"""What a tile is, to a network: its label and its domain."""

from typing import NamedTuple

import torch
from torch import Tensor


class Condition(NamedTuple):
    """Labels and domains of a batch of tiles."""

    labels: Tensor
    """[N] int64."""
    domains: Tensor
    """[N] int64."""

    def to(self, device: torch.device) -> "Condition":
        """Move both to a device."""
        return Condition(self.labels.to(device), self.domains.to(device))

    def chosen(self, indices: Tensor | slice) -> "Condition":
        """Take the tiles at some positions."""
        return Condition(self.labels[indices], self.domains[indices])

    def twice(self) -> "Condition":
        """Repeat the batch, for tiles that were joined to others of the same condition."""
        return Condition(torch.cat([self.labels] * 2), torch.cat([self.domains] * 2))
