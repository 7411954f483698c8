"""Backbones of discriminators: tiles in, one feature vector a tile out. A small CNN, or any model of timm."""

import difflib
import math
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import ModelError
from fedray.tasks.gan.adaptation import check_no_chance, mean_is_fixed, remove_chance, replace_batch_norm
from fedray.tasks.gan.judgements import LabelSpread

WEIGHTS_FOLDER = "FEDRAY_WEIGHTS"
"""Environment variable: folder with ImageNet weights, NAME.safetensors or NAME.pth by timm's model name."""

SHORT_NAMES = {"vit_b_16": "vit_base_patch16_224", "swin_t": "swin_tiny_patch4_window7_224"}
"""torchvision's names, which arXiv 2504.04130 uses, and the same models in timm."""


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
        name = timm_name(config.discriminator)
        pretrained = load_weights and config.initialisation == "imagenet"
        self.model: nn.Module = _create(name, shape, _weights_source(config) if pretrained else None)
        remove_chance(self.model)
        if config.recipe.penalty != "none":
            by_tile = (
                f"gan.penalty {config.recipe.penalty!r} is by tile and batch statistics couple the tiles of a batch"
            )
            replace_batch_norm(self.model, name, by_tile)
            _check_second_derivative(self.model, name, shape, config.recipe.penalty)
        self.num_features = _check_features(self.model, name, shape)
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
        known = getattr(self.model, "default_cfg", {})
        has_colours = shape.channels == 3
        mean, std = (known.get("mean"), known.get("std")) if has_colours else (None, None)
        # [-1, 1] -> [0, 1] -> what the model saw in training
        for key, value in (("mean", mean or (0.5,) * shape.channels), ("std", std or (0.5,) * shape.channels)):
            self.register_buffer(key, torch.tensor(value).view(1, -1, 1, 1), persistent=False)

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


def timm_name(name: str) -> str:
    """Return timm's name of a model.

    Raises:
        ModelError: There is no such model; the message has the nearest names.
    """
    import timm  # here: seconds, and the custom CNN does without

    full = SHORT_NAMES.get(name, name)
    if not timm.is_model(full):
        known = ["cnn", *SHORT_NAMES, *timm.list_models()]
        near = ", ".join(repr(other) for other in difflib.get_close_matches(name, known, n=3, cutoff=0.5))
        raise ModelError(
            f"gan.discriminator must be 'cnn', 'vit_b_16', 'swin_t' or a model of timm, but got {name!r}"
            + (f"; the nearest names are {near}" if near else "")
        )
    return full


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


def _create(name: str, shape: TileShape, weights: dict[str, Any] | None) -> nn.Module:
    try:
        model = _build(name, shape)
    except Exception as error:
        raise ModelError(_size_text(name, shape.size, error)) from error
    _check_patches(model, name, shape.size)
    return model if weights is None else _with_weights(model, name, shape, weights)


def _build(name: str, shape: TileShape, **arguments: Any) -> nn.Module:
    import timm

    arguments |= {"num_classes": 0, "in_chans": shape.channels}
    try:
        model: nn.Module = timm.create_model(name, img_size=shape.size, **arguments)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        model = timm.create_model(name, **arguments)  # a convolutional network takes any size
    return model


def _with_weights(model: nn.Module, name: str, shape: TileShape, weights: dict[str, Any]) -> nn.Module:
    """Build the model again with its weights, and make sure that it has them: timm skips what does not fit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blank = _build(name, shape).state_dict()
        torch.manual_seed(0)
        try:
            loaded = _build(name, shape, pretrained=True, **weights)
        except Exception as error:
            raise ModelError(_weights_text(name, f"{type(error).__name__}: {error}")) from error
    found = loaded.state_dict()
    # Only matrices and kernels start random; a bias may well be 0 in the file too.
    left = [key for key, value in found.items() if value.dim() > 1 and torch.equal(value, blank[key])]
    if left:
        raise ModelError(_weights_text(name, f"they lack {len(left)} of its arrays, such as {left[0]}"))
    return loaded


def _check_patches(model: nn.Module, name: str, size: int) -> None:
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    edge = patch[0] if isinstance(patch, tuple | list) else patch
    if isinstance(edge, int) and size % edge:
        step = math.lcm(edge, 8)
        near = sorted({max(step, size // step * step), (size // step + 1) * step})
        raise ModelError(
            f"{name} cuts tiles into patches of {edge} px, so their edge must be a multiple of {edge}, but the tiles "
            f"have {size} px; the nearest that it can take: {' or '.join(f'{value} px' for value in near)}"
        )


def _check_features(model: nn.Module, name: str, shape: TileShape) -> int:
    """Run one tile through the model. Returns the number of features."""
    training = model.training
    try:
        with torch.no_grad():
            features = model.eval()(torch.zeros(1, shape.channels, shape.size, shape.size))
    except Exception as error:
        raise ModelError(_size_text(name, shape.size, error)) from error
    finally:
        model.train(training)
    if not isinstance(features, Tensor) or features.dim() != 2:
        found = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"{name} cannot carry a discriminator's heads: they need one vector a tile, [N, F], but its output is "
            f"{found}; take a classification model, such as 'resnet18'"
        )
    return features.shape[1]


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


def _size_text(name: str, size: int, error: Exception) -> str:
    cause = " ".join(str(error).split())[:200]
    return f"{name} cannot take tiles of {size} px ({type(error).__name__}: {cause}); 'cnn' and 'resnet18' take any"


def weights_file(config: GanConfig) -> Path | None:
    """Return the file that the ImageNet weights come from; None where none are asked for, or timm downloads them.

    Raises:
        ModelError: A file or folder is named, but has no weights.
    """
    if config.initialisation != "imagenet":
        return None
    name = timm_name(config.discriminator)
    if config.weights is not None:
        path = Path(config.weights)
        if not path.is_file():
            raise ModelError(f"gan.weights must be a file, but there is none at {path.absolute()}; {_how_to_get(name)}")
        return path
    folder = os.environ.get(WEIGHTS_FOLDER)
    if not folder:
        return None
    candidates = [Path(folder) / f"{name}{suffix}" for suffix in (".safetensors", ".pth", ".bin")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ModelError(
            f"{WEIGHTS_FOLDER} must hold {candidates[0].name} or {candidates[1].name}, but "
            f"{Path(folder).absolute()} has neither; {_how_to_get(name)}"
        )
    return found


def _weights_source(config: GanConfig) -> dict[str, Any]:
    """Return timm's arguments for where the ImageNet weights are. Errors as of :func:`weights_file`."""
    path = weights_file(config)
    return {"pretrained_cfg_overlay": {"file": str(path)}} if path else {}


def _weights_text(name: str, cause: str) -> str:
    cause = " ".join(cause.split())[:300]
    return f"the ImageNet weights of {name} could not be loaded ({cause}); {_how_to_get(name)}"


def _how_to_get(name: str) -> str:
    return (
        f'on a machine with access to huggingface.co, run: python -c "import timm, safetensors.torch as s; '
        f"s.save_file(timm.create_model('{name}', pretrained=True).state_dict(), '{name}.safetensors')\" "
        f"and give the file as gan.weights, or its folder as {WEIGHTS_FOLDER}; or set gan.initialisation to 'scratch'"
    )
