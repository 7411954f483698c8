"""Any model of timm without its head, for tiles of any size and channels, with ImageNet weights where asked for."""

import difflib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedray.data import TileShape
from fedray.learning.errors import ModelError
from fedray.pretrained import LITE0_MODEL, published_lite0

WEIGHTS_FOLDER = "FEDRAY_WEIGHTS"
"""Environment variable: folder with ImageNet weights, NAME.safetensors or NAME.pth by timm's model name."""

SHORT_NAMES = {
    "vit_b_16": "vit_base_patch16_224",
    "vit_l_16": "vit_large_patch16_224",
    "swin_t": "swin_tiny_patch4_window7_224",
}
"""torchvision's names, which arXiv 2504.04130 uses, and the same models in timm."""


class TimmChoice(NamedTuple):
    """A model of timm, as a section of the configuration asks for it; the section's words are those of the errors."""

    name: str
    """timm's name, or one of :data:`SHORT_NAMES`."""
    field: str
    """Config path that names it, such as ``gan.discriminator``."""
    imagenet: bool = False
    """Whether it starts from ImageNet weights."""
    weights: str | None = None
    """File with them; None: the folder of FEDRAY_WEIGHTS, the installed package, or timm's download."""
    own: Sequence[str] = ("cnn",)
    """Names that the field takes beside timm's."""
    otherwise: str = "scratch"
    """Value of the section's ``initialisation`` that needs no weights."""

    @property
    def section(self) -> str:
        """The section of the configuration."""
        return self.field.partition(".")[0]

    @property
    def full_name(self) -> str:
        """Name in timm.

        Raises:
            ModelError: There is no such model; the message has the nearest names.
        """
        import timm  # here: seconds, and networks of our own do without

        full = SHORT_NAMES.get(self.name, self.name)
        if not timm.is_model(full):
            known = [*self.own, *SHORT_NAMES, *timm.list_models()]
            near = ", ".join(repr(other) for other in difflib.get_close_matches(self.name, known, n=3, cutoff=0.5))
            ours = ", ".join(repr(other) for other in (*self.own, *SHORT_NAMES))
            raise ModelError(
                f"{self.field} must be {ours} or a model of timm, but got {self.name!r}"
                + (f"; the nearest names are {near}" if near else "")
            )
        return full


def make_timm_model(choice: TimmChoice, shape: TileShape, *, load_weights: bool) -> nn.Module:
    """Build a model of timm without its classifier.

    Args:
        choice: Which one, and where its weights come from.
        shape: Of the tiles.
        load_weights: Whether ImageNet weights are wanted, if they are asked for; off where all weights are about to be
            replaced.

    Returns:
        The model, which turns tiles [N, C, size, size] float32 into features; :func:`count_features` says how many.

    Raises:
        ModelError: There is no such model, it cannot take such tiles, or its weights are missing.
        PretrainedError: The package that has its weights is not installed.
    """
    name = choice.full_name
    try:
        model = _build(name, shape)
    except Exception as error:
        raise ModelError(_size_text(name, shape.size, error)) from error
    _check_patches(model, name, shape.size)
    return _with_weights(model, choice, shape) if load_weights and choice.imagenet else model


def count_features(model: nn.Module, choice: TimmChoice, shape: TileShape) -> int:
    """Run one tile through a model. Returns the number of features.

    Raises:
        ModelError: It cannot take such tiles, or gives no vector a tile.
    """
    training, name = model.training, choice.full_name
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
            f"{choice.field} {name!r} cannot carry a head: that needs one vector a tile, [N, F], but its output is "
            f"{found}; take a classification model, such as 'resnet18'"
        )
    return features.shape[1]


def pixel_statistics(model: nn.Module, num_channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pixels in [0, 1] that a model of timm was trained on, both [1, C, 1, 1].

    For tiles of other than three colours, and where the model does not say, both are 0.5.
    """
    known = getattr(model, "default_cfg", {}) if num_channels == 3 else {}
    middle = (0.5,) * num_channels
    mean, std = (torch.tensor(known.get(name) or middle).view(1, -1, 1, 1) for name in ("mean", "std"))
    return mean, std


def weights_file(choice: TimmChoice) -> Path | None:
    """Return the file that the ImageNet weights come from.

    None where none are asked for, where an installed package has them, or where timm downloads them.

    Raises:
        ModelError: A file or folder is named, but has no weights.
    """
    if not choice.imagenet:
        return None
    name = choice.full_name
    if choice.weights is not None:
        path = Path(choice.weights)
        if not path.is_file():
            raise ModelError(
                f"{choice.section}.weights must be a file, but there is none at {path.absolute()}; "
                f"{_how_to_get(choice)}"
            )
        return path
    folder = os.environ.get(WEIGHTS_FOLDER)
    if not folder or name == LITE0_MODEL:
        return None
    candidates = [Path(folder) / f"{name}{suffix}" for suffix in (".safetensors", ".pth", ".bin")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ModelError(
            f"{WEIGHTS_FOLDER} must hold {candidates[0].name} or {candidates[1].name}, but "
            f"{Path(folder).absolute()} has neither; {_how_to_get(choice)}"
        )
    return found


def _weights_source(choice: TimmChoice) -> dict[str, Any]:
    """Return timm's arguments for where the ImageNet weights are. Errors as of :func:`weights_file`."""
    if (path := weights_file(choice)) is not None:
        return {"pretrained_cfg_overlay": {"file": str(path)}}
    if choice.full_name == LITE0_MODEL:
        return {"pretrained_cfg_overlay": {"state_dict": published_lite0()}}
    return {}


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


def _with_weights(model: nn.Module, choice: TimmChoice, shape: TileShape) -> nn.Module:
    """Build the model again with its weights, and make sure that it has them: timm skips what does not fit."""
    name, source = choice.full_name, _weights_source(choice)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blank = _build(name, shape).state_dict()
        torch.manual_seed(0)
        try:
            loaded = _build(name, shape, pretrained=True, **source)
        except Exception as error:
            raise ModelError(_weights_text(choice, f"{type(error).__name__}: {error}")) from error
    found = loaded.state_dict()
    # Only matrices and kernels start random; a bias may well be 0 in the file too.
    left = [key for key, value in found.items() if value.dim() > 1 and torch.equal(value, blank[key])]
    if left:
        raise ModelError(_weights_text(choice, f"they lack {len(left)} of its arrays, such as {left[0]}"))
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


def _size_text(name: str, size: int, error: Exception) -> str:
    cause = " ".join(str(error).split())[:200]
    return f"{name} cannot take tiles of {size} px ({type(error).__name__}: {cause}); 'cnn' and 'resnet18' take any"


def _weights_text(choice: TimmChoice, cause: str) -> str:
    cause = " ".join(cause.split())[:300]
    return f"the ImageNet weights of {choice.full_name} could not be loaded ({cause}); {_how_to_get(choice)}"


def _how_to_get(choice: TimmChoice) -> str:
    name, section = choice.full_name, choice.section
    return (
        f'on a machine with access to huggingface.co, run: python -c "import timm, safetensors.torch as s; '
        f"s.save_file(timm.create_model('{name}', pretrained=True).state_dict(), '{name}.safetensors')\" "
        f"and give the file as {section}.weights, or its folder as {WEIGHTS_FOLDER}; or set {section}.initialisation "
        f"to {choice.otherwise!r}, or take {LITE0_MODEL!r}, whose weights are installed with FedRay"
    )
