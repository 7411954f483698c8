"""'pt2' and 'torchscript': a whole network in a file of torch.export.save or torch.jit.save.

Loading such a file runs what is in it: a ``pt2`` archive may hold pickles, which ``torch.export.load`` opens without
``weights_only``, and TorchScript is a program. So there is no way to load an unknown one safely, and none is loaded
whose SHA-256 the configuration does not name: the one who names it says that the file is theirs. What is loaded are the
very bytes that were hashed.
"""

import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch.export.passes import move_to_device_pass

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors.base import Extractor
from fedray.evaluation.extractors.from_file import (
    FileNetwork,
    FileProtocol,
    as_fields,
    check_channels,
    checked_sha256,
    pixels_said,
    read_pinned,
    tried_out,
    weights_path,
)


class Pt2Network(FileNetwork):
    """A ``torch.export.ExportedProgram``, which is no module: it is kept out of the parameters."""

    def __init__(self, protocol: FileProtocol, content: bytes) -> None:
        """Load the bytes of a file."""
        super().__init__(protocol)
        self._program = torch.export.load(io.BytesIO(content))
        self._call: tuple[Callable[[torch.Tensor], torch.Tensor]] = (self._program.module(),)

    def compute(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of pixels."""
        return self._call[0](pixels)

    def to(self, device: torch.device | str) -> Self:
        """Move it to a device, with the constants that its operations were exported with."""
        if self.mean.device != torch.device(device):
            self._program = move_to_device_pass(self._program, str(device))
            self._call = (self._program.module(),)
        super().to(device)
        return self


class TorchScriptNetwork(FileNetwork):
    """A TorchScript module; a frozen one answers to few of a module's methods, so none are asked."""

    def __init__(self, protocol: FileProtocol, content: bytes) -> None:
        """Load the bytes of a file."""
        super().__init__(protocol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the format is deprecated, which its user cannot mend here
            script = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
        self._script = (script.eval() if hasattr(script, "training") else script,)

    def compute(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of pixels."""
        features: torch.Tensor = self._script[0](pixels)
        return features

    def to(self, device: torch.device | str) -> Self:
        """Move it to a device; constants that it was traced with stay where they were."""
        self._script = (self._script[0].to(device),)
        super().to(device)
        return self


_NETWORKS: dict[str, type[Pt2Network] | type[TorchScriptNetwork]] = {
    "pt2": Pt2Network,
    "torchscript": TorchScriptNetwork,
}
_SAVED_BY = {"pt2": ("torch.export.save", "archive_format"), "torchscript": ("torch.jit.save", "constants.pkl")}
"""What writes such a file, and the entry by which it is known."""


def protocol_of(config: EvaluationConfig) -> FileProtocol:
    """Say what scores in its features stand for; the file is not read.

    Args:
        config: Has all that the file does not say.
    """
    told: dict[str, Any] = {"interpolation": "bilinear"} | pixels_said(config)
    model, sha256 = weights_path(config).stem, str(config.extractor_sha256)
    return FileProtocol(kind=config.extractor_kind, model=model, args="", sha256=sha256, **told)


def settled(config: EvaluationConfig) -> Mapping[str, Any]:
    """Return the fields of the section as they are said, and the weights by an absolute path."""
    protocol = protocol_of(config)
    return as_fields({"weights": str(weights_path(config)), "interpolation": protocol.interpolation})


def check(store: TileStore, config: EvaluationConfig) -> None:
    """Refuse a file that is not there or another one, and tiles of other channels; loads nothing.

    Raises:
        EvaluationError: With the remedy.
    """
    check_channels(store, config, protocol_of(config))
    checked_sha256(weights_path(config), config.extractor_sha256)


def load(store: TileStore, config: EvaluationConfig) -> Extractor:
    """Load the extractor: runs what is in the file.

    Raises:
        EvaluationError: The file is not there, another one, or of another kind; or the network is not as is stated.
    """
    protocol, path = protocol_of(config), weights_path(config)
    check_channels(store, config, protocol)
    content = read_pinned(path, protocol.sha256)
    writer, entry = _SAVED_BY[protocol.kind]
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if not any(name.rpartition("/")[2] == entry for name in archive.namelist()):
                raise ValueError(f"it has no {entry}")
        network = _NETWORKS[protocol.kind](protocol, content)
    except Exception as error:
        cause = " ".join(str(error).split())[:200]
        raise EvaluationError(
            f"{path} is no file of {writer}, or of another PyTorch than {torch.__version__} "
            f"({type(error).__name__}: {cause}); save it so, or name the extractor that it is of"
        ) from None
    return tried_out(network, store, config)
