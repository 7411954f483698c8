"""How what a tile is generated for reaches the networks."""

import torch
from torch import Tensor, nn

from fedray.data import TileShape
from fedray.learning import Condition


def sample_noise(num: int, length: int, random: torch.Generator) -> Tensor:
    """Draw standard normal noise [num, length] float32 on the random stream's device."""
    return torch.randn(num, length, generator=random, device=random.device)


def not_halved(values: Tensor) -> Tensor:
    """Return what autocast computed in bfloat16 as float32, where losses and pixels are made of it."""
    return values.float() if values.dtype == torch.bfloat16 else values


class MultiplyingEmbedding(nn.Module):
    """A learned image of one channel per label that multiplies every channel of its input; one per domain, too.

    As in arXiv 2504.04130. It starts near 1, so that conditioning begins as a small modulation of the unconditional
    features.
    """

    def __init__(self, shape: TileShape, size: int) -> None:
        """Make one [1, size, size] image for each label, and one for each domain where there are several."""
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(shape.num_labels, size * size)
        nn.init.normal_(self.embedding.weight, mean=1.0, std=0.2)
        self.domain_embedding = nn.Embedding(shape.num_domains, size * size) if shape.num_domains > 1 else None
        if self.domain_embedding is not None:
            nn.init.normal_(self.domain_embedding.weight, mean=1.0, std=0.2)

    def forward(self, features: Tensor, condition: Condition) -> Tensor:
        """Multiply features [N, C, size, size] float32 by the images of their condition; the shape stays."""
        images: Tensor = self.embedding(condition.labels)
        if self.domain_embedding is not None:
            images = images * self.domain_embedding(condition.domains)
        return features * images.view(-1, 1, self.size, self.size)
