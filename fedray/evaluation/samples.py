"""Tiles as metrics see them: in every kind of features that scores are computed in."""

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.evaluation.extractors import Extractor
from fedray.evaluation.metrics import Sample
from fedray.evaluation.texture import TEXTURE, as_features, texture


def sample_of(
    tiles: NDArray[np.uint8],
    labels: NDArray[np.int64],
    extractor: Extractor,
    device: torch.device,
    domains: NDArray[np.int64] | None = None,
) -> dict[str, Sample]:
    """Compute the features of tiles, uint8 [n, H, W, C] with labels and perhaps domains [n], by name of the features.

    The extractor's network has to be on ``device``.
    """
    labels = labels.astype(np.int64)
    features = {extractor.name: extractor.features(tiles, device), TEXTURE: as_features(texture(tiles))}
    return {name: Sample(found, labels, domains) for name, found in features.items()}
