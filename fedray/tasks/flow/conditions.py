"""What a tile is made for, as a vector; and a label or a domain that is withheld."""

import torch
from torch import Tensor, nn

from fedray.learning import Condition

NONE = -1
"""A label or a domain that is withheld: any."""


class OptionalEmbedding(nn.Module):
    """A learned vector for each of some codes, and one for :data:`NONE`."""

    def __init__(self, num_codes: int, width: int) -> None:
        """Make ``num_codes + 1`` vectors."""
        super().__init__()
        self.vectors = nn.Embedding(num_codes + 1, width)

    def forward(self, codes: Tensor) -> Tensor:
        """Look codes [N] int64 up, each from -1 to ``num_codes - 1``: [N, width]."""
        vectors: Tensor = self.vectors(codes - NONE)
        return vectors


def withheld(condition: Condition, label_share: float, domain_share: float, random: torch.Generator) -> Condition:
    """Withhold labels, and domains, of random tiles.

    Args:
        condition: Of N tiles.
        label_share: How often a label is withheld, in [0, 1).
        domain_share: How often a domain is, independently of it.
        random: On the condition's device.
    """
    return Condition(_some(condition.labels, label_share, random), _some(condition.domains, domain_share, random))


def _some(codes: Tensor, share: float, random: torch.Generator) -> Tensor:
    if share == 0:
        return codes
    chosen = torch.rand(len(codes), generator=random, device=random.device) < share
    return codes.masked_fill(chosen.to(codes.device), NONE)
