"""Discriminators (critics for Wasserstein objectives): tiles and labels in, one score a tile out."""

from torch import Tensor, nn

from fedray.config import GanConfig
from fedray.models.generators import MultiplyingEmbedding, TileShape


class CnnDiscriminator(nn.Module):
    """S2's custom CNN as a critic: three strided convolutions with LeakyReLU and GroupNorm, a linear score.

    GroupNorm instead of BatchNorm: batch statistics couple the samples, and the gradient penalty is per sample
    (Gulrajani et al. 2017, section 4).
    """

    def __init__(self, config: GanConfig, shape: TileShape) -> None:
        """Size the layers by ``config.discriminator_channels`` and the tile's shape."""
        super().__init__()
        width, pooled = config.discriminator_channels, 4
        self.condition = MultiplyingEmbedding(shape.num_labels, shape.size)
        self.body = nn.Sequential(
            nn.Conv2d(shape.channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 4 * width),
            nn.LeakyReLU(0.2),
            # Larger tiles reach the head at the same size; at 32 px this is the identity.
            nn.Identity() if shape.size // 8 == pooled else nn.AdaptiveAvgPool2d(pooled),
            nn.Flatten(),
        )
        self.score = nn.Linear(4 * width * pooled**2, 1)

    def forward(self, tiles: Tensor, labels: Tensor) -> Tensor:
        """Score tiles [N, C, size, size] float32 in [-1, 1] given labels [N] int64. Returns [N] float32, unbounded."""
        scores: Tensor = self.score(self.body(self.condition(tiles, labels)))
        return scores.squeeze(1)


DISCRIMINATORS: dict[str, type[CnnDiscriminator]] = {"cnn": CnnDiscriminator}
