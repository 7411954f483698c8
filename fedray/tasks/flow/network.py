"""The velocity network: a U-Net that knows time, label and domain."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedray.config import FlowConfig
from fedray.data import TileShape
from fedray.learning import Condition, ModelError
from fedray.tasks.flow.conditions import OptionalEmbedding
from fedray.tasks.flow.norms import modulated_silu

Layer = TypeVar("Layer", bound=nn.Module)

_WIDTH = 128
"""Of the vector that says time, label and domain."""
_FREQUENCIES = 32
_HIGHEST = 1000.0
_GROUP = 8
"""Channels of a group of the norms."""
_HEAD = 32
"""Channels of a head of attention, or fewer, where it does not divide them."""
_SMALLEST = 8
"""Edge in pixels up to which maps are not halved any more."""


class UNet(nn.Module):
    """Residual blocks at every size of maps, down to the smallest and up again; sums join what has the same size.

    All modulations (FiLM, Perez et al. 2018) come out of one product; they begin as none, and every block, attention
    and the network itself begin with a result of zero: so early steps are stable.
    """

    def __init__(self, config: FlowConfig, shape: TileShape) -> None:
        """Size the layers by ``config.channels`` and the tile's shape.

        Raises:
            ModelError: The tile's edge is no multiple of ``config.patch``.
        """
        super().__init__()
        if shape.size % config.patch:
            raise ModelError(
                f"flow.patch must divide the tile's edge, but got {config.patch} for tiles of {shape.size} px; take 1"
            )
        self._patch = config.patch
        widths = level_widths(config, shape)
        folded = shape.channels * config.patch**2
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH))
        self.label = OptionalEmbedding(shape.num_labels, _WIDTH)
        self.domain = OptionalEmbedding(shape.num_domains, _WIDTH) if shape.num_domains > 1 else None
        self.enter = nn.Conv2d(folded, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(config, width) for width in widths[:-1])
        self.shrink = nn.ModuleList(
            nn.Conv2d(wide, narrow, 3, stride=2, padding=1) for wide, narrow in pairwise(widths)
        )
        self.middle = nn.ModuleList(
            [*_blocks(config, widths[-1]), _Attention(widths[-1]), *_blocks(config, widths[-1])]
        )
        self.grow = nn.ModuleList(
            nn.Conv2d(narrow, wide, 1) for wide, narrow in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.up = nn.ModuleList(_blocks(config, width) for width in widths[-2::-1])
        self.leave = _zeroed(nn.Conv2d(widths[0], folded, 3, padding=1))
        self._film_widths = [width for block in self._residual() for width in block.film_widths] + [widths[0]]
        self.film = _zeroed(nn.Linear(_WIDTH, 2 * sum(self._film_widths)))

    def forward(self, points: Tensor, times: Tensor, condition: Condition) -> Tensor:
        """Say the velocity at points of paths.

        Args:
            points: [N, C, size, size] float32.
            times: [N] in [0, 1].
            condition: Of N tiles; a label or a domain may be withheld.

        Returns:
            Of the shape of ``points``, float32, or bfloat16 under autocast.
        """
        films = self._films(times, condition)
        folded = functional.pixel_unshuffle(points, self._patch)
        features = self.enter(folded.contiguous(memory_format=torch.channels_last))
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            features = _through(blocks, features, films)
            skips.append(features)
            features = shrink(features)
        features = _through(self.middle, features, films)
        for grow, blocks in zip(self.grow, self.up, strict=True):
            skip = skips.pop()
            features = skip + functional.interpolate(grow(features), size=skip.shape[2:])
            features = _through(blocks, features, films)
        features = modulated_silu(features, *next(films), _groups(features))
        return functional.pixel_shuffle(self.leave(features), self._patch)

    def hidden(self) -> Iterator[nn.Parameter]:
        """Yield the weights of the convolutions between the first and the last."""
        ends = (self.enter, self.leave)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer not in ends:
                yield layer.get_parameter("weight")

    def _films(self, times: Tensor, condition: Condition) -> Iterator[tuple[Tensor, Tensor]]:
        """Make the scale and the shift, [N, C] both, of every norm in the order of their use."""
        vector = self.time(_waves(times)) + self.label(condition.labels)
        if self.domain is not None:
            vector = vector + self.domain(condition.domains)
        made: Tensor = self.film(functional.silu(vector)).float()
        scales, shifts = (torch.split(each, self._film_widths, dim=1) for each in made.chunk(2, dim=1))
        return ((scale + 1, shift) for scale, shift in zip(scales, shifts, strict=True))

    def _residual(self) -> Iterator["_Block"]:
        levels = [*self.down, self.middle, *self.up]
        return (block for blocks in levels for block in blocks if isinstance(block, _Block))


def level_widths(config: FlowConfig, shape: TileShape) -> list[int]:
    """Return the channels of the maps of each size, the largest first."""
    edge, widths = shape.size // config.patch, [config.channels]
    while edge > _SMALLEST:
        edge = -(-edge // 2)
        widths.append(config.channels * min(4, 2 ** len(widths)))
    return widths


class _Block(nn.Module):
    """Norm, SiLU and convolution, two times, beside nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.film_widths = (channels, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = _zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, features: Tensor, films: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        inner = self.first(modulated_silu(features, *next(films), _groups(features)))
        inner = self.second(modulated_silu(inner, *next(films), _groups(inner)))
        result: Tensor = features + inner
        return result


class _Attention(nn.Module):
    """Every pixel of a small map looks at all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(channels // _GROUP, channels)
        self.enter = nn.Linear(channels, 3 * channels)
        self.leave = _zeroed(nn.Linear(channels, channels))
        self._head = math.gcd(channels, _HEAD)

    def forward(self, features: Tensor, films: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        pixels = self.norm(features).flatten(2).transpose(1, 2)
        queries, keys, values = self.enter(pixels).unflatten(2, (3, -1, self._head)).permute(2, 0, 3, 1, 4)
        # Not PyTorch's scaled_dot_product_attention, whose backward pass on a CPU takes 40 ms for so small maps.
        weights = torch.softmax(queries @ keys.transpose(2, 3) / math.sqrt(self._head), 3)
        told: Tensor = self.leave((weights @ values).transpose(1, 2).flatten(2))
        return features + told.transpose(1, 2).reshape(features.shape)


def _blocks(config: FlowConfig, channels: int) -> nn.ModuleList:
    return nn.ModuleList(_Block(channels) for _ in range(config.blocks))


def _through(blocks: nn.Module, features: Tensor, films: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    assert isinstance(blocks, nn.ModuleList)
    for block in blocks:
        features = block(features, films)
    return features


def _waves(times: Tensor) -> Tensor:
    """Write times [N] as sines and cosines [N, 64] of frequencies from 1 to 1000 (Vaswani et al. 2017)."""
    exponents = torch.arange(_FREQUENCIES, device=times.device) / (_FREQUENCIES - 1)
    angles = times[:, None] * torch.exp(exponents * math.log(_HIGHEST))
    return torch.cat([angles.sin(), angles.cos()], 1)


def _groups(features: Tensor) -> int:
    return features.shape[1] // _GROUP


def _zeroed(layer: Layer) -> Layer:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


NETWORKS: dict[str, type[UNet]] = {"unet": UNet}
"""By ``flow.network``."""
