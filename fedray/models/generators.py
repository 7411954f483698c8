"""Generators: noise and labels in, tiles out."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedray.config import GanConfig


class TileShape(NamedTuple):
    """What a network must produce or read."""

    size: int
    """Edge of the square tile in pixels."""
    channels: int
    """Colour channels."""
    num_labels: int
    """Labels that condition the networks."""


class MultiplyingEmbedding(nn.Module):
    """A learned image of one channel per label that multiplies every channel of its input (S2).

    It starts near 1, so that conditioning begins as a small modulation of the unconditional features.
    """

    def __init__(self, num_labels: int, size: int) -> None:
        """Make one [1, size, size] image for each of ``num_labels`` labels."""
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(num_labels, size * size)
        nn.init.normal_(self.embedding.weight, mean=1.0, std=0.2)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Multiply features [N, C, size, size] float32 by the images of labels [N] int64; the shape stays."""
        images: Tensor = self.embedding(labels)
        return features * images.view(-1, 1, self.size, self.size)


class CustomCnnGenerator(nn.Module):
    """S2's generator: three convolutions with LeakyReLU, batch norm, upsampling, dropout, a multiplying embedding.

    A linear layer turns noise into a quarter-size feature image; two of the three convolutions follow an upsampling.
    """

    def __init__(self, config: GanConfig, shape: TileShape) -> None:
        """Size the layers by ``config.generator_channels`` and the tile's shape."""
        super().__init__()
        width, self._start = config.generator_channels, shape.size // 4
        self._channels = 4 * width
        self.project = nn.Linear(config.latent_dim, self._channels * self._start**2)
        self.condition = MultiplyingEmbedding(shape.num_labels, self._start)
        self.body = nn.Sequential(
            nn.BatchNorm2d(4 * width),
            nn.Conv2d(4 * width, 2 * width, 3, padding=1, bias=False),  # the norm after it has a shift
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(config.dropout),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(config.dropout),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, shape.channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Generate tiles.

        Args:
            noise: [N, latent_dim] float32, standard normal.
            labels: [N] int64, each below the number of labels.

        Returns:
            [N, C, size, size] float32 in [-1, 1].
        """
        features = self.project(noise).view(-1, self._channels, self._start, self._start)
        tiles: Tensor = self.body(self.condition(features, labels))
        return tiles


GENERATORS: dict[str, type[CustomCnnGenerator]] = {"custom-cnn": CustomCnnGenerator}


def sample_noise(num: int, latent_dim: int, random: torch.Generator) -> Tensor:
    """Draw standard normal noise [num, latent_dim] float32 on the random stream's device."""
    return torch.randn(num, latent_dim, generator=random, device=random.device)
