"""What every feature extractor is: a frozen torch-fidelity network with a name and an identity."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from fedray.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

BATCH_SIZE = 64
"""Tiles that go through a network together. Of 8 to 256, measured, with the default and 64 px the fastest on a CPU core
(32 takes 7 % longer, 128 23 %), and from 16 on the features are the same to the last digit."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class ExtractorQuality:
    """How well an extractor trained on the store tells its labels apart; near trivial, its features mean little.

    Attributes:
        balanced_accuracy: Mean recall over the labels of the test tiles, in [0, 1]; NaN if the store has no test tiles.
        trivial_balanced_accuracy: The same for a classifier that always answers one label: 1 / labels.
        num_test: Test tiles it was measured on.
    """

    balanced_accuracy: float
    trivial_balanced_accuracy: float
    num_test: int


@dataclass(frozen=True, eq=False)
class Extractor:
    """A frozen feature extractor.

    Attributes:
        name: Its name in the scores: ``fid/<name>/<n>``.
        network: The network, in evaluation mode: uint8 [N, C, H, W] -> one float32 tensor [N, width] in a tuple.
        width: Features per tile.
        identity: Hash of the weights; features compare only at equal identity.
        quality: For extractors trained on the store.
    """

    name: str
    network: "FeatureExtractorBase"
    width: int
    identity: str
    quality: ExtractorQuality | None = None

    def features(self, tiles: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
        """Map tiles, uint8 [n, H, W, C], to features, float32 [n, width]; the network has to be on ``device``.

        Beside both there is never more in memory than what a batch takes.

        Raises:
            EvaluationError: A feature is not finite.
        """
        batches = range(0, len(tiles), BATCH_SIZE)
        rows = np.empty((0, self.width), np.float32)
        with torch.inference_mode(), _full_precision(device):
            for start in progress(batches, f"{self.name}: features of {len(tiles)} tiles", shown=len(batches) > 32):
                batch = torch.tensor(tiles[start : start + BATCH_SIZE])  # a copy: a store's tiles are read-only
                (found,) = self.network(batch.to(device).permute(0, 3, 1, 2))
                if start == 0:
                    rows = np.empty((len(tiles), found.shape[1]), np.float32)
                rows[start : start + BATCH_SIZE] = found.cpu().numpy()
        if not np.isfinite(rows).all():
            num = int((~np.isfinite(rows)).any(1).sum())
            raise EvaluationError(
                f"the features of {num} of {len(tiles)} tiles are not finite in {self.name}, so no score means "
                "anything; are its weights whole, and its mean and deviation those that it was trained with? Take "
                "another evaluation.extractor to go on"
            )
        return rows


def reduce_to(tiles: torch.Tensor, size: int) -> torch.Tensor:
    """Reduce tiles to ``size`` pixels, bilinear and antialiased; smaller ones are left as they are, never enlarged.

    The one resize of this package, for real and generated tiles alike (its choice moves FID by more than a better
    generator does, Parmar et al. 2022). tiles: float [N, C, H, W]; the range is kept.
    """
    height, width = tiles.shape[-2:]
    if max(height, width) <= size:
        return tiles
    return F.interpolate(tiles, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def hash_weights(network: torch.nn.Module) -> str:
    """Hash all parameters and buffers of a network: SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def progress(items: Iterable[Item], description: str, shown: bool = True) -> Iterable[Item]:
    """Pass items through under a progress bar on the terminal; silent where standard error is none."""
    console = Console(stderr=True)
    disable = not (shown and console.is_terminal)
    return track(items, description, console=console, transient=True, disable=disable)


@contextlib.contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    # On recent GPUs convolutions use TF32 by default: features would differ from the CPU's in the third digit.
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
