"""Features of a frozen ImageNet network at four depths, randomly mixed: what a projected discriminator looks at.

Nothing here is ever trained: the network's weights come with its package and the mixing from a fixed seed. So every
machine has the same, and none of it is among the arrays that travel or that a checkpoint holds.
"""

import copy
import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fedray.pretrained import frozen_lite0

_MIX_SEED = 2111_01007


class FrozenFeatures(nn.Module):
    """EfficientNet-Lite0 at four depths, mixed across channels and scales by fixed random convolutions.

    As Sauer et al. 2021 (arXiv 2111.01007, section 3.2): a random 1x1 convolution mixes the channels of each depth;
    then a random 3x3 convolution of the mixture below is enlarged and added, from the deepest up. Each is brought to
    about unit variance by a constant, so that all heads see the same scale.
    """

    def __init__(self, channels: int, size: int) -> None:
        """Read the network's weights and draw the mixing.

        Args:
            channels: Of the mixed features at every depth.
            size: Edge in pixels of the pictures that it will see; the constants that scale its features follow.

        Raises:
            PretrainedError: The weights' package is missing.
        """
        super().__init__()
        self.depths = nn.ModuleList(lite0_depths())
        random = torch.Generator().manual_seed(_MIX_SEED)
        widths = [features.shape[1] for features in self.unmixed(torch.zeros(1, 3, size, size))]
        self.across_channels = nn.ModuleList(_random_convolution(width, channels, 1, random) for width in widths)
        self.across_scales = nn.ModuleList(_random_convolution(channels, channels, 3, random) for _ in widths[1:])
        make_constant(self)
        self.scales = [1.0] * len(widths)
        pictures = _cloudy_pictures(8, size, random)
        with torch.no_grad():
            self.scales = [1 / float(features.std()) for features in self(pictures)]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Turn pictures [N, 3, size, size] float32 in [-1, 1] into features [N, channels, h, h], the shallowest first.

        h is the edge through 4, 8, 16 and 32, rounded up.
        """
        mixed = [mix(part) for mix, part in zip(self.across_channels, self.unmixed(pictures), strict=True)]
        for index in reversed(range(len(mixed) - 1)):
            below = self.across_scales[index](mixed[index + 1])
            below = functional.interpolate(below, mixed[index].shape[-2:], mode="bilinear", align_corners=False)
            mixed[index] = (mixed[index] + below) / math.sqrt(2)
        return [features * scale for features, scale in zip(mixed, self.scales, strict=True)]

    def unmixed(self, pictures: Tensor) -> list[Tensor]:
        """Return the network's own features of pictures, as in :meth:`forward` but for the number of channels."""
        features = []
        for depth in self.depths:
            pictures = depth(pictures)
            features.append(pictures)
        return features


def frozen_features(channels: int, size: int) -> FrozenFeatures:
    """Return frozen features of one's own, which may move to another device; a process reads and measures them once.

    Arguments and errors as of :class:`FrozenFeatures`.
    """
    return copy.deepcopy(_read_once(channels, size))


@lru_cache(maxsize=4)
def _read_once(channels: int, size: int) -> FrozenFeatures:
    with torch.random.fork_rng(devices=[]):  # the draws that its weights replace are not to move those of the heads
        return FrozenFeatures(channels, size)


def lite0_depths() -> list[nn.Module]:
    """Cut EfficientNet-Lite0 where features have 1/4, 1/8, 1/16 and 1/32 of the picture's edge; its head is left out.

    Batch norm, which in a frozen network is a fixed scale and shift, is folded into the convolution before it: the
    same but for rounding, and a fifth faster.
    """
    model = frozen_lite0()
    stages = list(model.get_submodule("blocks").children())
    for block in (block for stage in stages for block in stage.children()):
        for conv, norm in _EXPANDING if hasattr(block, "conv_pwl") else _PLAIN:
            _fold(block, conv, norm)
    _fold(model, "conv_stem", "bn1")
    stem = [model.get_submodule(name) for name in ("conv_stem", "bn1")]
    return [
        nn.Sequential(*stem, *stages[:2]),
        nn.Sequential(*stages[2:3]),
        nn.Sequential(*stages[3:5]),
        nn.Sequential(*stages[5:]),
    ]


_EXPANDING = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
_PLAIN = (("conv_dw", "bn1"), ("conv_pw", "bn2"))
"""Convolutions of timm's blocks and the norms that follow them."""


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    """Fold a norm of timm, which carries the activation that follows it, into the convolution before it."""
    before, after = getattr(module, conv), getattr(module, norm)
    setattr(module, conv, fuse_conv_bn_eval(before, after))
    setattr(module, norm, after.act)


def make_constant(module: nn.Module) -> None:
    """Turn parameters into buffers that no state holds: they move with the module, but are neither trained nor sent."""
    for part in module.modules():
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)


def _random_convolution(inward: int, outward: int, kernel: int, random: torch.Generator) -> nn.Conv2d:
    """Return a convolution without bias that keeps the variance of its input (He et al. 2015, for no ReLU)."""
    convolution = nn.Conv2d(inward, outward, kernel, padding=kernel // 2, bias=False)
    weights = torch.randn(convolution.weight.shape, generator=random) / math.sqrt(inward * kernel**2)
    convolution.weight = nn.Parameter(weights, requires_grad=False)
    return convolution


def _cloudy_pictures(num: int, size: int, random: torch.Generator) -> Tensor:
    """Draw pictures [num, 3, size, size] in [-1, 1] with structure at several scales, as pictures of things have."""
    edges = [edge for edge in (4, 16, size) if edge <= size]
    layers = [torch.randn(num, 3, edge, edge, generator=random) for edge in edges]
    enlarged = [functional.interpolate(layer, (size, size), mode="bilinear", align_corners=False) for layer in layers]
    return torch.tanh(0.5 * torch.stack(enlarged).sum(0))
