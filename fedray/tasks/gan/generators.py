"""Generators: noise and a condition in, tiles out."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Condition
from fedray.tasks.gan.conditions import MultiplyingEmbedding, not_halved


class CustomCnnGenerator(nn.Module):
    """Three convolutions with LeakyReLU, batch norm, upsampling, dropout, a multiplying embedding (arXiv 2504.04130).

    A linear layer turns noise into a quarter-size feature image; two of the three convolutions follow an upsampling.
    It is conditioned on the label alone.
    """

    uses_domains: ClassVar[bool] = False

    def __init__(self, config: GanConfig, shape: TileShape) -> None:
        """Size the layers by ``config.generator_channels`` and the tile's shape."""
        super().__init__()
        self.noise_length = config.latent_dim
        width, self._start = config.generator_channels, shape.size // 4
        self._channels = 4 * width
        self.project = nn.Linear(config.latent_dim, self._channels * self._start**2)
        self.condition = MultiplyingEmbedding(shape._replace(num_domains=1), self._start)
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

    def forward(self, noise: Tensor, condition: Condition) -> Tensor:
        """Generate tiles.

        Args:
            noise: [N, noise_length] float32, standard normal.
            condition: Of N tiles.

        Returns:
            [N, C, size, size] float32 in [-1, 1].
        """
        features = self.project(noise).view(-1, self._channels, self._start, self._start)
        tiles: Tensor = self.body(self.condition(features, condition))
        return not_halved(tiles)


class ResidualGenerator(nn.Module):
    """Residual blocks with GroupNorm, upsampled from 4 to 7 px to the tile's size, modulated by label and domain.

    Each norm is followed by a feature-wise scale and shift made from the condition (FiLM, Perez et al. 2018). Without
    batch statistics: a client's tiles leave no trace but in the weights.

    With ``generator_noise`` the noise reaches every layer: the vector as part of what scale and shift are made from
    (Brock et al. 2019, section 3), and an image of its own for every convolution, added with a learned weight a channel
    (Karras et al. 2019, section 2). All of it is drawn outside, as one longer vector: tiles stay a function of it.
    """

    uses_domains: ClassVar[bool] = True
    _EMBEDDING = 64

    def __init__(self, config: GanConfig, shape: TileShape) -> None:
        """Size the layers by ``config.generator_channels`` and the tile's shape."""
        super().__init__()
        start, doublings = _start_size(shape.size)
        widths = [config.generator_channels * min(4, 2 ** (doublings - index)) for index in range(doublings + 1)]
        self._start, self._channels = start, widths[0]
        self._latent_dim, self._noisy = config.latent_dim, config.generator_noise
        # An image for each of a block's two convolutions, of the size that the block enlarges to.
        edges = [start * 2 ** (index // 2 + 1) for index in range(2 * doublings)] if self._noisy else []
        self._image_lengths = [edge**2 for edge in edges]
        self.noise_length = config.latent_dim + sum(self._image_lengths)
        self.label = nn.Embedding(shape.num_labels, self._EMBEDDING)
        self.domain = nn.Embedding(shape.num_domains, self._EMBEDDING) if shape.num_domains > 1 else None
        self.project = nn.Linear(config.latent_dim, widths[0] * start**2)
        known = self._EMBEDDING + (config.latent_dim if self._noisy else 0)
        self.blocks = nn.ModuleList(
            _UpBlock(narrow, wide, known, config.dropout, noisy=self._noisy) for narrow, wide in pairwise(widths)
        )
        self.norm = _group_norm(widths[-1])
        self.to_tile = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, noise: Tensor, condition: Condition) -> Tensor:
        """Generate tiles. Arguments and result as in :class:`CustomCnnGenerator`."""
        embedding = self.label(condition.labels)
        if self.domain is not None:
            embedding = embedding + self.domain(condition.domains)
        latent, *images = torch.split(noise, [self._latent_dim, *self._image_lengths], dim=1)
        if self._noisy:
            embedding = torch.cat([embedding, latent], 1)
        features = self.project(latent).view(-1, self._channels, self._start, self._start)
        for index, block in enumerate(self.blocks):
            features = block(features, embedding, images[2 * index : 2 * index + 2])
        tiles: Tensor = torch.tanh(self.to_tile(functional.leaky_relu(self.norm(features), 0.2)))
        return not_halved(tiles)


class _FilmNorm(nn.Module):
    """GroupNorm with a scale and a shift made from an embedding; it starts as plain GroupNorm."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm = _group_norm(channels)
        self.film = nn.Linear(embedding, 2 * channels)
        nn.init.normal_(self.film.weight, std=0.02)
        nn.init.zeros_(self.film.bias)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        modulated: Tensor = self.norm(features) * (1 + scale) + shift
        return modulated


class _UpBlock(nn.Module):
    """Twice the size: norm, LeakyReLU, upsampling and convolution, two times, beside a shortcut."""

    def __init__(self, inward: int, outward: int, embedding: int, dropout: float, *, noisy: bool) -> None:
        super().__init__()
        self.first_norm, self.second_norm = _FilmNorm(inward, embedding), _FilmNorm(outward, embedding)
        self.first = nn.Conv2d(inward, outward, 3, padding=1)
        self.second = nn.Conv2d(outward, outward, 3, padding=1)
        self.shortcut = nn.Conv2d(inward, outward, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.noise = nn.Parameter(torch.full((2, outward, 1, 1), 0.1)) if noisy else None

    def forward(self, features: Tensor, embedding: Tensor, images: Sequence[Tensor]) -> Tensor:
        """Enlarge features [N, C, h, h]; with noise images, two of [N, (2 h)^2], without, none."""
        inner = functional.leaky_relu(self.first_norm(features, embedding), 0.2)
        inner = self.first(functional.interpolate(inner, scale_factor=2.0))
        if self.noise is not None:
            inner = inner + self.noise[0] * images[0].view(-1, 1, *inner.shape[2:])
        inner = self.dropout(functional.leaky_relu(self.second_norm(inner, embedding), 0.2))
        # The shortcut's convolution is of one pixel: before or after the upsampling is the same, before is a quarter.
        outer: Tensor = functional.interpolate(self.shortcut(features), scale_factor=2.0) + self.second(inner)
        if self.noise is not None:
            outer = outer + self.noise[1] * images[1].view(-1, 1, *outer.shape[2:])
        return outer


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(4, channels)  # channels are multiples of 4


def _start_size(size: int) -> tuple[int, int]:
    """Halve a tile's edge as often as it stays a whole number of at least 4 px. Returns that, and how often."""
    doublings = 0
    while size % 2 == 0 and size // 2 >= 4:
        size, doublings = size // 2, doublings + 1
    return size, doublings


class LabelledGenerator(nn.Module):
    """A generator as others call it: noise, labels and, where it knows several, domains in, tiles out."""

    def __init__(self, generator: nn.Module) -> None:
        """Wrap a generator of :data:`GENERATORS`."""
        super().__init__()
        self.generator = generator

    def forward(self, noise: Tensor, labels: Tensor, domains: Tensor | None = None) -> Tensor:
        """Generate tiles [N, C, size, size] float32 in [-1, 1] from noise [N, noise_length], labels and domains [N]."""
        tiles: Tensor = self.generator(
            noise, Condition(labels, torch.zeros_like(labels) if domains is None else domains)
        )
        return tiles


GENERATORS: dict[str, type[CustomCnnGenerator] | type[ResidualGenerator]] = {
    "custom-cnn": CustomCnnGenerator,
    "residual": ResidualGenerator,
}
