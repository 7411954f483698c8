"""What a model of timm, made to classify, needs to be a discriminator: no chance in it, and fitting norms."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedray.data import TileShape
from fedray.learning import ModelError

logger = logging.getLogger(__name__)

_CHANCES = ("drop_prob", "drop_rate", "attn_drop_rate", "dropout")
"""Attributes of timm's and PyTorch's modules with the share that is dropped at random in training."""


def remove_chance(model: nn.Module) -> None:
    """Turn off dropout and drop path, which many models of timm have by default.

    A discriminator that drops parts of itself answers differently each time for the same tiles; a penalty on its
    gradient, and the generator, would be taught that noise.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name in _CHANCES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def check_no_chance(model: nn.Module, name: str, shape: TileShape) -> None:
    """Refuse a model that still draws random numbers in training.

    Raises:
        ModelError: It does.
    """
    before = torch.get_rng_state()
    with _training_undone(model), torch.no_grad():
        model(_different_tiles(2, shape))
    if not torch.equal(before, torch.get_rng_state()):
        raise ModelError(
            f"{name} cannot be a discriminator: it draws at random in training, so that the same tiles get another "
            "answer each time, and gives no way to turn that off; take another, such as 'resnet18'"
        )


def mean_is_fixed(model: nn.Module, shape: TileShape) -> bool:
    """Whether the mean of the features over a batch is the same whatever the tiles.

    So it is where every path ends in BatchNorm (LeViT, RepViT, EfficientViT, NextViT): it makes the mean over the batch
    its own shift. A loss that is linear in the scores, such as Wasserstein's, then has no gradient.
    """
    tiles = _different_tiles(4, shape).requires_grad_()
    with _training_undone(model):
        features: Tensor = model(tiles)
        weights = torch.linspace(-1.0, 1.0, features.shape[1])
        scores = features @ weights
        (of_mean,) = torch.autograd.grad(scores.mean(), tiles, retain_graph=True)
        (of_one,) = torch.autograd.grad(scores[0] / len(scores), tiles)
    return bool(of_mean.norm() < 1e-4 * of_one.norm())  # float32: a fixed one has 1e-6 of it left, others 0.1


def replace_batch_norm(model: nn.Module, name: str, reason: str) -> None:
    """Put GroupNorm where BatchNorm is, with the same scale and shift, and say so in the log.

    Args:
        model: Changed in place.
        name: Of the model, for the log.
        reason: Why, as the end of a sentence.
    """
    replaced = _replace_in(model)
    if replaced:
        logger.warning("%s: %d BatchNorm layers became GroupNorm, because %s.", name, replaced, reason)


def _replace_in(module: nn.Module) -> int:
    count = 0
    for key, child in module.named_children():
        if isinstance(child, _BatchNorm):
            norm = nn.GroupNorm(_num_groups(child.num_features), child.num_features, child.eps)
            if child.affine:
                norm.load_state_dict({"weight": child.weight.detach(), "bias": child.bias.detach()})
            # timm's BatchNormAct2d carries the activation that follows it
            after = [part for part in (getattr(child, "drop", None), getattr(child, "act", None)) if part is not None]
            setattr(module, key, nn.Sequential(norm, *after) if after else norm)
            count += 1
        else:
            count += _replace_in(child)
    return count


def _num_groups(num_channels: int) -> int:
    """Return 32 (Wu and He 2018) or fewer: a group has eight channels or more, all it has on a map of one pixel."""
    groups = math.gcd(num_channels, 32)
    while groups > 1 and num_channels // groups < 8:
        groups //= 2
    return groups


def _different_tiles(num: int, shape: TileShape) -> Tensor:
    """Make tiles [num, C, size, size] float32 that no layer takes for each other, without the global stream."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(num, shape.channels, shape.size, shape.size, generator=random)


@contextmanager
def _training_undone(model: nn.Module) -> Iterator[None]:
    """Train within a ``with`` block, and put back what that changes: the mode, and batch statistics."""
    training, before = model.training, {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    try:
        yield
    finally:
        model.train(training)
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(before[name])
