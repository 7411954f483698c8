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
from numpy.typing import NDArray
from safetensors.torch import load_file
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
    """The first five stages, rearranged so that they take half the time, with the same features.

    Each BatchNorm is folded into the convolution before it, and tiles and kernels are mirrored (``_layers`` says why):
    means and deviations over all positions do not change.
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
        self.shallow, self.middle = _stages(frozen_lite0())
        self.to(memory_format=torch.channels_last)
        self.register_buffer("centre", torch.zeros(WIDTH))
        self.register_buffer("scale", torch.ones(WIDTH))
        if feature_extractor_weights_path is not None:
            self.load_state_dict(load_file(feature_extractor_weights_path), strict=False)
        self.eval().requires_grad_(False)

    def pooled(self, tiles: torch.Tensor) -> torch.Tensor:
        """Features as the network has them, float32 [N, 248], of tiles, uint8 [N, 1 or 3, H, W]."""
        pixels = _to_working_size(tiles.flip((2, 3)).expand(-1, 3, -1, -1).float()).div_(127.5).sub_(1.0)
        shallow = self.shallow(pixels.contiguous(memory_format=torch.channels_last))
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
    return centred_on(stored.arrays["centre"], stored.arrays["scale"], network)


def centred_on(centre: NDArray[np.generic], scale: NDArray[np.generic], network: Lite0 | None = None) -> Extractor:
    """Make the extractor of known centre and scale, float32 [248] each; the weights must be there."""
    network = network or Lite0()
    network.centre.copy_(torch.from_numpy(centre))
    network.scale.copy_(torch.from_numpy(scale))
    return Extractor(NAME, network, WIDTH, hash_weights(network))


def measure(network: Lite0, store: TileStore) -> Stored:
    """Measure centre and scale on a store's training tiles, or on all where it has none."""
    features = measured_features(network, store)
    centre, scale = centre_and_scale(features.mean(0), features.var(0, correction=0))
    told = {"protocol": str(PROTOCOL), "fingerprint": store.fingerprint, "num_tiles": str(len(features))}
    return Stored({"centre": centre, "scale": scale}, told)


def measured_features(network: Lite0, store: TileStore) -> torch.Tensor:
    """Compute the features that centre and scale are measured on, as the network has them: float64 [n, 248]."""
    indices = store.indices("train")
    indices = indices if len(indices) else np.arange(len(store.labels))
    if len(indices) > MAX_MEASURED:
        indices = np.sort(stream(0, NAME, "measured").choice(indices, MAX_MEASURED, replace=False))
    batches = [indices[start : start + BATCH_SIZE] for start in range(0, len(indices), BATCH_SIZE)]
    with torch.inference_mode():
        tiles = (torch.tensor(store.tiles(batch)).permute(0, 3, 1, 2) for batch in batches)
        return torch.cat([network.pooled(batch) for batch in tiles]).double()


def centre_and_scale(mean: torch.Tensor, variance: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return centre and scale, float32 [248] each, of features with this mean and variance, float64 [248] each."""
    variances = torch.split(variance, list(PARTS))
    # Alike tiles have no variance: their features stay finite, and it is for others to say that they are alike.
    scales = [(part + SHARED_VARIANCE * part.mean()).clamp_min(1e-12) ** -0.5 for part in variances]
    return mean.float().numpy(), torch.cat(scales).float().numpy()


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


class _ConvolutionReLU6(nn.Conv2d):
    """A convolution, and ReLU6 after it: on the CPU in one pass over the maps, a seventh of the network's time less."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if not (_IN_ONE_PASS and maps.device.type == "cpu"):
            return F.relu6(super().forward(maps), inplace=True)
        # What torch.compile makes of the two, without its minutes of compiling.
        convolved: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps,
            self.weight,
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            "hardtanh",
            [0.0, 6.0],
            "",
        )
        return convolved


_IN_ONE_PASS = bool(torch.backends.mkldnn.is_available()) and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_convolution_pointwise"
)
"""Not on every processor, and its name may change: PyTorch keeps it for its own compiler."""


class _Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = super().forward(maps)  # type: ignore[no-untyped-call]
        return changed.add_(maps)


def _stages(network: Any) -> tuple[nn.Sequential, nn.Sequential]:
    """Take stem and stages 1 and 2, and stages 3 to 5, of timm's model; they are for mirrored tiles."""
    stages = [[_block(block) for block in stage] for stage in network.blocks[:5]]
    shallow = [*_layers(network, (("conv_stem", "bn1"),)), *stages[0], *stages[1]]
    return nn.Sequential(*shallow), nn.Sequential(*stages[2], *stages[3], *stages[4])


def _block(block: Any) -> nn.Sequential:
    expanding = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
    plain = (("conv_dw", "bn1"), ("conv_pw", "bn2"))
    layers = _layers(block, expanding if hasattr(block, "conv_pwl") else plain)
    return _Residual(*layers) if block.has_skip else nn.Sequential(*layers)


def _layers(module: Any, order: Sequence[tuple[str, str]]) -> list[nn.Module]:
    """List convolutions of timm's module with activations, each with its BatchNorm folded in and its kernel mirrored.

    TensorFlow pads a convolution of stride 2 on the right and below by one pixel more, or by one alone. On mirrored
    tiles that is on the left and above, as PyTorch's own even padding has it: its last column meets no window.
    """
    layers: list[nn.Module] = []
    for convolution, norm in order:
        folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
        channels, edge = (folded.in_channels, folded.out_channels), folded.kernel_size[0]
        activation = getattr(module, norm).act  # timm's BatchNorm holds the activation that follows it
        kind = _ConvolutionReLU6 if isinstance(activation, nn.ReLU6) else nn.Conv2d
        mirrored = kind(*channels, edge, folded.stride, edge // 2, groups=folded.groups, device="meta")
        mirrored.load_state_dict({"weight": folded.weight.flip((2, 3)), "bias": folded.bias}, assign=True)
        layers.append(mirrored)
    return layers


if NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(NAME, Lite0)
