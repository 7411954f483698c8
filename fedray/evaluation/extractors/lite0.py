"""'efficientnet-lite0': the frozen ImageNet network of that name, read at two depths, centred on a store's real tiles.

The protocol, which every score's name stands for:

- Tiles, grey ones as three equal channels, are enlarged to 64 px where they are smaller and reduced to 128 px where
  they are larger, bilinear and, downwards, antialiased; then [0, 255] becomes [-1, 1].
- Features: over all positions, the standard deviation of the 24 channels after the second of the network's seven
  stages (a quarter of the tile's edge), and mean and standard deviation of the 112 channels after the fifth (a
  sixteenth). The former see colour, focus and compression; of the latter, the deviations see seams and collapse, and
  the means tissue. Deeper layers cost more and see less: photographs' objects are no help with tissue.
- On the store's training tiles each feature is centred and divided by its deviation; a tenth of the part's mean
  variance is added first, so that a feature that hardly varies does not outweigh the others.
- The 248 numbers are then scaled to a length of sqrt(248): what counts is in which direction a tile departs from the
  store's mean tile, as with the normalised embeddings of CMMD (Jayasumana et al. 2024, arXiv 2401.09603). KID's kernel
  (x.y / d + 1)^3 is unbounded otherwise, and the one statistic that departs furthest outweighs all others together: a
  generator after a few seconds of training scored worse than an untrained one.

Which layers and sizes: decided by what real tiles score that were destroyed on purpose, and by generators whose order
is plain to the eye (docs/evaluation.md).
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from timm.layers import get_same_padding
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity import register_feature_extractor
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.cache import Stored, cache_path, load_or_build
from fedray.evaluation.extractors.base import BATCH_SIZE, Extractor, hash_weights, reduce_to
from fedray.evaluation.extractors.one_layer import OneLayer
from fedray.pretrained import frozen_lite0
from fedray.randomness import stream

NAME = "efficientnet-lite0"
PROTOCOL = 2
"""Version of what the module's docstring says; a change of it is a new extractor and must raise it."""
SMALLEST, LARGEST = 64, 128
"""Edges, in pixels, to which tiles are enlarged or reduced that are smaller or larger."""
PARTS = (24, 112, 112)
"""Features of each part: deviations of the second stage, means and deviations of the fifth."""
WIDTH = sum(PARTS)
SHARED_VARIANCE = 0.1
"""Of a part's mean variance, the share that is added to the variance of each of its features."""
MAX_MEASURED = 1024
"""Training tiles, at the most, on which centre and scale are measured."""


class Lite0(OneLayer):
    """The first five stages, with each BatchNorm folded into the convolution before it: half the time, same features.

    ``centre`` and ``scale``, float32 [248], are those of a store; without any, features are only normalised.
    """

    WIDTH = WIDTH
    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        name: str = NAME,
        features_list: Sequence[str] = (str(WIDTH),),
        feature_extractor_weights_path: str | Path | None = None,
        **_: Any,
    ) -> None:
        """Build the network with its ImageNet weights; a path is that of a store's ``centre`` and ``scale``.

        Raises:
            PretrainedError: The weights are missing, or not the published ones.
        """
        super().__init__(name, list(features_list))
        self.stem, self.shallow, self.middle = _folded_stages(frozen_lite0())
        self.register_buffer("centre", torch.zeros(WIDTH))
        self.register_buffer("scale", torch.ones(WIDTH))
        if feature_extractor_weights_path is not None:
            self.load_state_dict(load_file(feature_extractor_weights_path), strict=False)
        self.eval().requires_grad_(False)

    def pooled(self, tiles: torch.Tensor) -> torch.Tensor:
        """Features as the network has them, float32 [N, 248], of tiles, uint8 [N, 1 or 3, H, W]."""
        pixels = _to_working_size(tiles.expand(-1, 3, -1, -1).float()) / 127.5 - 1.0
        shallow = self.shallow(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        middle = self.middle(shallow)
        return torch.cat([_deviation(shallow), middle.mean((2, 3)), _deviation(middle)], dim=1)

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        """Features of length sqrt(248), float32 [N, 248], of tiles, uint8 [N, 1 or 3, H, W]."""
        departures = (self.pooled(tiles) - self.centre) * self.scale
        return (F.normalize(departures) * WIDTH**0.5,)


def load_lite0(store: TileStore, config: EvaluationConfig) -> Extractor:
    """Load the extractor; the first call for a store measures centre and scale, on the CPU, and caches them.

    The weights must be there (:func:`fedray.evaluation.extractors.check_extractor`).
    """
    network = Lite0()
    stored = load_or_build(cache_path(store.fingerprint, f"{NAME}-protocol{PROTOCOL}"), lambda: measure(network, store))
    network.centre.copy_(torch.from_numpy(stored.arrays["centre"]))
    network.scale.copy_(torch.from_numpy(stored.arrays["scale"]))
    return Extractor(NAME, network, WIDTH, hash_weights(network))


def measure(network: Lite0, store: TileStore) -> Stored:
    """Measure centre and scale on a store's training tiles, or on all where it has none."""
    indices = store.indices("train")
    indices = indices if len(indices) else np.arange(len(store.labels))
    if len(indices) > MAX_MEASURED:
        indices = np.sort(stream(0, NAME, "measured").choice(indices, MAX_MEASURED, replace=False))
    batches = [indices[start : start + BATCH_SIZE] for start in range(0, len(indices), BATCH_SIZE)]
    with torch.inference_mode():
        tiles = (torch.tensor(store.tiles(batch)).permute(0, 3, 1, 2) for batch in batches)
        features = torch.cat([network.pooled(batch) for batch in tiles]).double()
    variances = torch.split(features.var(0, correction=0), list(PARTS))
    # Alike tiles have no variance: their features stay finite, and it is for others to say that they are alike.
    scales = [(part + SHARED_VARIANCE * part.mean()).clamp_min(1e-12) ** -0.5 for part in variances]
    return Stored(
        {"centre": features.mean(0).float().numpy(), "scale": torch.cat(scales).float().numpy()},
        {"protocol": str(PROTOCOL), "fingerprint": store.fingerprint, "num_tiles": str(len(indices))},
    )


def _to_working_size(tiles: torch.Tensor) -> torch.Tensor:
    height, width = tiles.shape[-2:]
    if min(height, width) >= SMALLEST:
        return reduce_to(tiles, LARGEST)
    return _interpolation(height).to(tiles) @ tiles @ _interpolation(width).to(tiles).T


@functools.cache
def _interpolation(edge: int) -> torch.Tensor:
    """Bilinear enlargement of one axis as a matrix, [SMALLEST, edge]: a fifth of the time of PyTorch's kernel."""
    kernel = F.interpolate(torch.eye(edge)[None], size=SMALLEST, mode="linear", align_corners=False)
    return kernel[0].T.contiguous()


def _deviation(maps: torch.Tensor) -> torch.Tensor:
    """Standard deviation over all positions: [N, C, H, W] -> [N, C]."""
    # ``std`` takes several times as long in the layout channels_last
    return (maps - maps.mean((2, 3), keepdim=True)).square_().mean((2, 3)).sqrt()


class _StridedAfterReLU6(nn.Module):
    """ReLU6 and timm's convolution with TensorFlow's padding: the former writes into padded memory, without a copy."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stride, self.groups = convolution.stride, convolution.groups

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        num, channels, height, width = maps.shape
        down, right = (
            get_same_padding(edge, self.weight.shape[-1], stride, 1)
            for edge, stride in zip((height, width), self.stride, strict=True)
        )
        top, left = down // 2, right // 2
        padded = torch.empty(
            (num, channels, height + down, width + right), device=maps.device, memory_format=torch.channels_last
        )
        for rim in (padded[:, :, :top], padded[:, :, top + height :], padded[..., :left], padded[..., left + width :]):
            rim.zero_()
        torch.clamp(maps, 0.0, 6.0, out=padded[:, :, top : top + height, left : left + width])
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


def _folded_stages(network: Any) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Take stem, stages 1 and 2, and stages 3 to 5 of timm's model, each BatchNorm folded into its convolution."""
    _fold(network, "conv_stem", "bn1")
    blocks = [block for stage in network.blocks[:5] for block in stage]
    for block in blocks:
        expanding = hasattr(block, "conv_pwl")
        order = ("conv_pw", "conv_dw", "conv_pwl") if expanding else ("conv_dw", "conv_pw")
        for index, convolution in enumerate(order, start=1):
            _fold(block, convolution, f"bn{index}")
        if expanding and block.conv_dw.stride != (1, 1):
            block.bn1, block.conv_dw = nn.Identity(), _StridedAfterReLU6(block.conv_dw)
    network.to(memory_format=torch.channels_last)
    num_shallow = sum(len(stage) for stage in network.blocks[:2])
    shallow, middle = nn.Sequential(*blocks[:num_shallow]), nn.Sequential(*blocks[num_shallow:])
    return nn.Sequential(network.conv_stem, network.bn1), shallow, middle


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    before: Any = getattr(module, norm)
    setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), before))
    setattr(module, norm, before.act)  # timm's BatchNorm holds the activation that follows it


if NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(NAME, Lite0)
