"""'inception-v3-compat': torch-fidelity's port of the network that published FIDs are measured with."""

import hashlib
import io
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import filelock
import torch
from torch_fidelity import FeatureExtractorInceptionV3
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors.base import Extractor, reduce_to
from fedray.evaluation.extractors.one_layer import OneLayer
from fedray.pretrained import PretrainedError, published_bytes
from fedray.storage import whole_file

NAME = "inception-v3-compat"
WIDTH = 2048
WEIGHTS_URL: str = URL_INCEPTION_V3
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the published file; its name carries the first eight digits."""
DOWNLOAD_TIMEOUT_S = 20.0
"""Longest silence of the download server, in seconds."""


class ReducedInception(OneLayer):
    """Inception as torch-fidelity runs it, behind an antialiased reduction of tiles larger than its 299 pixels.

    torch-fidelity alone would sample larger tiles without antialiasing; smaller ones it enlarges as TensorFlow 1 did.
    """

    WIDTH = WIDTH

    def __init__(self, inception: FeatureExtractorInceptionV3) -> None:
        """Wrap torch-fidelity's network."""
        super().__init__(NAME, [str(WIDTH)])
        self.inception = inception

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        """Features, float32 [N, 2048], of tiles, uint8 [N, 1 or 3, H, W]; one channel is taken as grey."""
        tiles = tiles.expand(-1, 3, -1, -1)
        size = self.inception.INPUT_IMAGE_SIZE
        if max(tiles.shape[-2:]) > size:
            tiles = reduce_to(tiles.float(), size).round().clamp(0, 255).to(torch.uint8)
        (features,) = self.inception(tiles)
        return (features,)


def load_inception(store: TileStore, config: EvaluationConfig) -> Extractor:
    """Load the extractor with the published weights, from ``config.extractor_weights`` or by download.

    Raises:
        EvaluationError: The tiles have neither one nor three channels, or the weights are missing or not the published
            ones.
    """
    _check_channels(store)
    path = _weights_path(config)
    if config.extractor_weights is None and not path.is_file():
        _download(path)
    weights = _read_published(path)
    # torch-fidelity unpickles whatever file it is given; it is given bytes that were written here, from tensors alone.
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    buffer.seek(0)
    with torch.random.fork_rng(devices=[]):  # its layers draw weights, which are thrown away
        inception = FeatureExtractorInceptionV3(NAME, [str(WIDTH)], feature_extractor_weights_path=buffer)
    network = ReducedInception(inception).eval().requires_grad_(False)
    return Extractor(NAME, network, WIDTH, WEIGHTS_SHA256)


def check_inception(store: TileStore, config: EvaluationConfig) -> None:
    """Refuse what :func:`load_inception` would; asks the download's server whether it is there, and fetches nothing.

    Raises:
        EvaluationError: As of :func:`load_inception`.
    """
    _check_channels(store)
    path = _weights_path(config)
    if config.extractor_weights is not None or path.is_file():
        _check_published(path)
        return
    request = urllib.request.Request(WEIGHTS_URL, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_S).close()
    except OSError as error:
        raise EvaluationError(
            f"the Inception weights are not at {path}, and {WEIGHTS_URL} cannot be reached ({error}). {_remedy()}"
        ) from None


def _check_channels(store: TileStore) -> None:
    if store.channels not in (1, 3):
        raise EvaluationError(
            f"evaluation.extractor 'inception-v3-compat' takes tiles of 1 or 3 channels, but {store.path} has "
            f"{store.channels}; use evaluation.extractor 'domain-cnn' for this store"
        )


def _weights_path(config: EvaluationConfig) -> Path:
    return Path(config.extractor_weights).expanduser() if config.extractor_weights else default_weights_path()


def default_weights_path() -> Path:
    """Where torch-fidelity keeps its own download, so that one that was made already is used."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_URL.rsplit("/", 1)[-1]


def _read_published(path: Path) -> dict[str, Any]:
    content = _check_published(path)
    weights: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return weights


def _check_published(path: Path) -> bytes:
    """Return the content of the published file, and refuse any other."""
    try:
        return published_bytes(path, WEIGHTS_SHA256, "the Inception weights", _remedy())
    except PretrainedError as error:
        raise EvaluationError(str(error)) from None


def _download(path: Path) -> None:
    """Fetch the published file to ``path``, whole or not at all, once for all processes of this machine."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock", timeout=3600.0):
            if path.is_file():
                return
            with whole_file(path) as partial:
                with (
                    urllib.request.urlopen(WEIGHTS_URL, timeout=DOWNLOAD_TIMEOUT_S) as response,
                    partial.open("wb") as file,
                ):
                    shutil.copyfileobj(response, file)
                if hashlib.sha256(partial.read_bytes()).hexdigest() != WEIGHTS_SHA256:
                    raise OSError("what arrived is not the published file")
    except (OSError, filelock.Timeout) as error:
        raise EvaluationError(
            f"the Inception weights are not at {path}, and downloading {WEIGHTS_URL} failed ({error}). {_remedy()}"
        ) from None


def _remedy() -> str:
    return (
        f"Fetch {WEIGHTS_URL} (96 MB) on a machine with internet access and put the file at {default_weights_path()} "
        "on every node, or set evaluation.extractor_weights to its path; or use evaluation.extractor 'domain-cnn', "
        "which needs no download"
    )
