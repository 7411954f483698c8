"""Backbones of discriminators: tiles in, one feature vector a tile out. A small CNN, or any model of timm."""

from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedray.config import PROJECTED, GanConfig
from fedray.data import TileShape
from fedray.learning import ModelError
from fedray.learning.timm_models import TimmChoice, count_features, make_timm_model, pixel_statistics
from fedray.learning.timm_models import weights_file as file_of
from fedray.tasks.gan.adaptation import check_no_chance, mean_is_fixed, remove_chance, replace_batch_norm
from fedray.tasks.gan.judgements import LabelSpread

_OWN = ("cnn", PROJECTED)


class CnnBackbone(nn.Module):
    """The custom CNN of arXiv 2504.04130: three strided convolutions with LeakyReLU and GroupNorm.

    GroupNorm instead of BatchNorm: batch statistics couple the samples, and the gradient penalty is per sample
    (Gulrajani et al. 2017, section 4).
    """

    def __init__(self, config: GanConfig, shape: TileShape) -> None:
        """Size the layers by ``config.discriminator_channels`` and the tile's shape."""
        super().__init__()
        width, pooled = config.discriminator_channels, 4
        self.num_features = 4 * width * pooled**2
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

    def forward(self, tiles: Tensor) -> Tensor:
        """Turn tiles [N, C, size, size] float32 in [-1, 1] into features [N, num_features]."""
        features: Tensor = self.body(tiles)
        return features


class TimmBackbone(nn.Module):
    """A model of timm without its classifier, fed with the pixel statistics it was trained on."""

    def __init__(self, config: GanConfig, shape: TileShape, *, linear: bool, load_weights: bool) -> None:
        """Build the model.

        Args:
            config: Names the model and where its weights come from.
            shape: Of the tiles.
            linear: Whether the objective has a loss that is linear in the scores.
            load_weights: Whether ImageNet weights are wanted, if the configuration says so; off where all weights
                are about to be replaced.

        Raises:
            ModelError: There is no such model, it cannot take such tiles, or its weights are missing.
        """
        super().__init__()
        choice = _choice(config)
        name = choice.full_name
        self.model = make_timm_model(choice, shape, load_weights=load_weights)
        remove_chance(self.model)
        if config.recipe.penalty != "none":
            by_tile = (
                f"gan.penalty {config.recipe.penalty!r} is by tile and batch statistics couple the tiles of a batch"
            )
            replace_batch_norm(self.model, name, by_tile)
            _check_second_derivative(self.model, name, shape, config.recipe.penalty)
        self.num_features = count_features(self.model, choice, shape)
        if not config.freeze:  # a frozen model always evaluates
            check_no_chance(self.model, name, shape)
        if linear and not config.freeze and couples_samples(self.model.train()) and mean_is_fixed(self.model, shape):
            fixed = (
                f"it fixes the mean of the features, so that gan.objective {config.objective!r} would have no gradient"
            )
            replace_batch_norm(self.model, name, fixed)
        self._frozen = config.freeze
        if config.freeze:
            self.model.requires_grad_(False)
        # [-1, 1] -> [0, 1] -> what the model saw in training
        for key, value in zip(("mean", "std"), pixel_statistics(self.model, shape.channels), strict=True):
            self.register_buffer(key, value, persistent=False)

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Set the mode; a frozen model always evaluates, so that its batch statistics stay."""
        super().train(mode)
        if self._frozen:
            self.model.eval()
        return self

    def forward(self, tiles: Tensor) -> Tensor:
        """Turn tiles [N, C, size, size] float32 in [-1, 1] into features [N, num_features]."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        features: Tensor = self.model((tiles.add(1).div(2) - mean) / std)
        return features


def make_backbone(
    config: GanConfig, shape: TileShape, *, linear: bool, load_weights: bool
) -> CnnBackbone | TimmBackbone:
    """Build the configured backbone. Arguments and errors as in :class:`TimmBackbone`."""
    if config.discriminator == "cnn":
        return CnnBackbone(config, shape)
    return TimmBackbone(config, shape, linear=linear, load_weights=load_weights)


def differentiable_twice() -> AbstractContextManager[None]:
    """Compute attention, within a ``with`` block, by products whose gradient has a gradient; fused ones lack it."""
    kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return kernel


def couples_samples(module: nn.Module) -> bool:
    """Whether what a module says of one tile depends on the others: by BatchNorm that learns, or a spread."""
    return any(
        isinstance(part, LabelSpread) or (isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training)
        for part in module.modules()
    )


def _check_second_derivative(model: nn.Module, name: str, shape: TileShape, penalty: str) -> None:
    tile = torch.zeros(1, shape.channels, shape.size, shape.size, requires_grad=True)
    try:
        with differentiable_twice():
            (gradient,) = torch.autograd.grad(model(tile).sum(), tile, create_graph=True)
        torch.autograd.grad(gradient.square().sum(), [next(model.parameters())], allow_unused=True)
    except RuntimeError as error:
        if "not implemented" not in str(error):
            return  # of another kind: the check of its features says it better
        raise ModelError(
            f"{name} cannot be trained with gan.penalty {penalty!r}, which needs the gradient of a gradient ({error}); "
            "take another discriminator, such as 'resnet18', or gan.penalty 'none'"
        ) from error


def weights_file(config: GanConfig) -> Path | None:
    """Return the file that the ImageNet weights come from; None where none are asked for, or none is needed.

    Raises:
        ModelError: A file or folder is named, but has no weights.
    """
    return file_of(_choice(config))


def _choice(config: GanConfig) -> TimmChoice:
    return TimmChoice(
        config.discriminator, "gan.discriminator", config.initialisation == "imagenet", config.weights, own=_OWN
    )
