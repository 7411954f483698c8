"""Extractors from a file of the user's: what a score in their features stands for, and what every one of them does.

The protocol:

- Tiles are resized to the stated edge, whole, bilinear or bicubic, antialiased downwards as Pillow does it (upwards
  this is plain interpolation); values stay in [0, 255], unrounded. Grey ones are as many equal channels as the network
  takes.
- [0, 255] becomes [0, 1]; the stated mean is subtracted, and what is left divided by the stated deviation.
- The network's output, a vector a tile, is taken as it is: neither centred nor scaled, so that torch-fidelity called
  with the same network gives the same scores.

All of this and the SHA-256 of the file make a digest, of which the first digits are in the extractor's name, and with
it in the name of every score: another file, or another edge, is another score.
"""

import functools
import hashlib
import json
import re
import socket
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors.base import Extractor

PROTOCOL = 1
"""Version of what the module's docstring says; a change of it is a new extractor and must raise it."""
LAYER = "features"
"""What torch-fidelity calls the one layer of features."""
BATCH_TOLERANCE = 0.02
"""Share of the features' spread by which a tile's may differ alone and in a batch: half precision, not batch norms."""


@dataclass(frozen=True)
class FileProtocol:
    """What scores in the features of a network from a file stand for.

    Attributes:
        kind: ``timm``, ``pt2`` or ``torchscript``.
        model: timm's name of the model; of other kinds the file's, without its ending.
        args: What timm's model is built with, ``NAME=VALUE`` with blanks between them, sorted.
        sha256: Of the file.
        size: Edge in pixels to which tiles are resized.
        mean: Of each channel, of pixels in [0, 1].
        std: Deviation of each channel, of pixels in [0, 1].
        interpolation: ``bilinear`` or ``bicubic``.
    """

    kind: str
    model: str
    args: str
    sha256: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    @property
    def digest(self) -> str:
        """SHA-256 of all of it but a file's name, hexadecimal: what features compare by."""
        told = {**asdict(self), "protocol": PROTOCOL, "model": self.model if self.kind == "timm" else ""}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name in the scores: the model's, and what tells its protocols apart."""
        return f"{re.sub('[^A-Za-z0-9._-]', '_', self.model)}-{self.digest[:8]}"

    def __str__(self) -> str:
        """Say it in a line."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        built = f" ({self.args})" if self.args else ""
        return (
            f"{self.name} is {self.kind} {self.model}{built} with the weights of SHA-256 {self.sha256[:16]}..., for "
            f"tiles resized to {self.size} px ({self.interpolation}), mean {mean}, deviation {std}"
        )


class FileNetwork(FeatureExtractorBase):
    """A network behind its preprocessing, in torch-fidelity's terms; a subclass says how it computes."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, protocol: FileProtocol) -> None:
        """Keep what is done to tiles."""
        super().__init__(protocol.name, [LAYER])
        self.protocol = protocol
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(protocol, name)).view(1, -1, 1, 1))

    @abstractmethod
    def compute(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features, [N, width], of pixels as the network wants them, float32 [N, C, size, size]."""

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        """Features, float32 [N, width], of tiles, uint8 [N, 1 or C, H, W]."""
        return (self.compute(self.preprocess(tiles)).float(),)

    def preprocess(self, tiles: torch.Tensor) -> torch.Tensor:
        """Resize and normalise tiles, uint8 [N, 1 or C, H, W]: float32 [N, C, size, size]."""
        edge, pixels = self.protocol.size, tiles.expand(-1, self.mean.shape[1], -1, -1).float()
        if pixels.shape[-2:] != (edge, edge):
            mode = self.protocol.interpolation
            pixels = F.interpolate(pixels, size=(edge, edge), mode=mode, antialias=True, align_corners=False)
            pixels = pixels.clamp_(0.0, 255.0)  # bicubic ones overshoot
        return pixels.div_(255.0).sub_(self.mean).div_(self.std)

    @classmethod
    def get_provided_features_list(cls) -> tuple[str]:
        """The one layer that can be asked for."""
        return (LAYER,)

    @classmethod
    def get_default_feature_layer_for_metric(cls, metric: str) -> str:
        """The same layer for every metric."""
        return LAYER

    @staticmethod
    def can_be_compiled() -> bool:
        """Compiling takes longer than the evaluations of a run."""
        return False


def pixels_said(config: EvaluationConfig) -> dict[str, Any]:
    """Return what the configuration says of the tiles: size, mean, std and interpolation, as far as it does."""
    names = ("size", "mean", "std", "interpolation")
    return {name: value for name in names if (value := getattr(config, f"extractor_{name}")) is not None}


def as_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Name values as the fields of the section ``evaluation``."""
    return {f"extractor_{name}": value for name, value in values.items()}


def weights_path(config: EvaluationConfig) -> Path:
    """Return the absolute path of the weights."""
    assert config.extractor_weights is not None, "the configuration refuses an extractor from a file without one"
    return Path(config.extractor_weights).expanduser().absolute()


def check_channels(store: TileStore, config: EvaluationConfig, protocol: FileProtocol) -> None:
    """Refuse tiles of other channels than the network takes; one channel stands for all of them.

    Raises:
        EvaluationError: With both numbers.
    """
    wanted = len(protocol.mean)
    if store.channels not in {1, wanted}:
        raise EvaluationError(
            f"evaluation.extractor {config.extractor!r} takes tiles of {wanted} channels, as many as "
            f"evaluation.extractor_mean has numbers, but {store.path} has {store.channels}; use evaluation.extractor "
            "'domain-cnn' for this store, or a network that was trained on such tiles"
        )


def checked_sha256(path: Path, expected: str | None) -> str:
    """Hash a file, once in a process unless it changes.

    Raises:
        EvaluationError: It cannot be read, or is not the one that is expected.
    """
    try:
        about = path.stat()
        found = _sha256(path, about.st_size, about.st_mtime_ns)
    except OSError as error:
        raise EvaluationError(_unreadable(path, error)) from None
    check_same(path, found, expected)
    return found


def read_pinned(path: Path, expected: str) -> bytes:
    """Read a file, and refuse any other than the one that is expected: what runs is in these bytes alone.

    Raises:
        EvaluationError: As of :func:`checked_sha256`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(_unreadable(path, error)) from None
    check_same(path, hashlib.sha256(content).hexdigest(), expected)
    return content


def check_same(path: Path, found: str, expected: str | None) -> None:
    """Refuse a file by its SHA-256. Raises :class:`EvaluationError` with both."""
    if expected is not None and found != expected:
        raise EvaluationError(
            f"{path} on {socket.gethostname()} is not the file that evaluation.extractor_sha256 names: its SHA-256 "
            f"must be {expected}, but is {found}. It was not loaded, as scores of other weights compare with nothing; "
            "put the same file on every machine, or name another one and its SHA-256"
        )


def tried_out(network: FileNetwork, store: TileStore, config: EvaluationConfig) -> Extractor:
    """Try a network out on two tiles of noise, as large as the store's.

    Raises:
        EvaluationError: It cannot take them, gives no vector a tile, another width than is stated, no numbers, or
            others for the same tile in another batch.
    """
    shape, path = (2, store.tile_size, store.tile_size, store.channels), weights_path(config)
    network.eval().requires_grad_(False)
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).permute(0, 3, 1, 2)
    try:
        with torch.inference_mode():
            both, alone = (network.compute(network.preprocess(batch)) for batch in (tiles, tiles[:1]))
    except Exception as error:
        cause = " ".join(str(error).split())[:300]
        raise EvaluationError(
            f"the network in {path} does not take {network.protocol.size} px tiles of {len(network.protocol.mean)} "
            f"channels, in batches of any length ({type(error).__name__}: {cause}); {_how_to_export(network)}"
        ) from None
    _check_output(both, alone, network, config, path)
    return Extractor(network.protocol.name, network, both.shape[1], network.protocol.digest)


def _check_output(both: Any, alone: Any, network: FileNetwork, config: EvaluationConfig, path: Path) -> None:
    if not isinstance(both, torch.Tensor) or both.dim() != 2:
        found = list(both.shape) if isinstance(both, torch.Tensor) else type(both).__name__
        raise EvaluationError(
            f"the network in {path} must give one vector a tile, [2, features] for 2 tiles, but gives {found}; "
            f"{_how_to_pool(network)}"
        )
    if config.extractor_width not in (None, both.shape[1]):
        raise EvaluationError(
            f"evaluation.extractor_width is {config.extractor_width}, but the network in {path} gives {both.shape[1]} "
            "features a tile; state that number if it is the network that you mean"
        )
    if not both.isfinite().all():
        raise EvaluationError(
            f"the features of the network in {path} are not finite, for tiles of noise already; are mean and deviation "
            f"({network.protocol}) what it was trained with, and is the file whole?"
        )
    apart, spread = (both[:1] - alone).float().abs().max(), both.float().abs().max()
    if apart > BATCH_TOLERANCE * spread:
        raise EvaluationError(
            f"the network in {path} gives a tile other features alone than in a batch, or at each call: it was "
            "exported in training mode; call its eval() before you export it"
        )


def _how_to_export(network: FileNetwork) -> str:
    if network.protocol.kind == "timm":
        return "set evaluation.extractor_size or evaluation.extractor_args to what it was trained with"
    return (
        "state what it was exported for (evaluation.extractor_size, evaluation.extractor_mean), or export it for that, "
        "with a batch of 2 and dynamic_shapes=({0: torch.export.Dim.AUTO},)"
    )


def _how_to_pool(network: FileNetwork) -> str:
    if network.protocol.kind == "timm":
        return "give evaluation.extractor_args 'global_pool=token' or 'global_pool=avg'"
    return "export it with what makes one of its outputs"


def _unreadable(path: Path, error: OSError) -> str:
    return (
        f"cannot read evaluation.extractor_weights {path} on {socket.gethostname()}: {error.strerror or error}; put "
        "the file at this path on every machine, or on a folder that all of them mount"
    )


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
