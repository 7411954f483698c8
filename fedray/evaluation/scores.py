"""FID and KID of two equally large sets of features; the mathematics is torch-fidelity's, in float64.

torch-fidelity is imported where it is used: it brings torchvision and with it seconds, which processes that only train
do without.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Scores = dict[str, float]
"""Scores by name; a name says its protocol, see :func:`score_names_for`."""

KID_SUBSET_SIZE = 1000
KID_SUBSETS = 100
MIN_TILES_FOR_KID = 2
"""The unbiased estimate needs two tiles a set; a label with fewer has no score."""

Features = NDArray[np.float32]
Statistics = dict[str, NDArray[np.float64]]


def score_names_for(extractor: str, labels: NDArray[np.int64], label_names: Sequence[str]) -> list[str]:
    """Name the scores of a comparison with real tiles that carry these labels, int64 [n].

    ``fid/<extractor>/<n>``, ``kid/<extractor>/<n>`` and, for each label that at least two of the n tiles carry,
    ``kid/<extractor>/<n>/label/<label name>``: n is always the number of all tiles compared, on either side.
    What follows from n and the store, such as the tiles of one label, is not repeated in the name.
    """
    n = len(labels)
    names = [f"fid/{extractor}/{n}", f"kid/{extractor}/{n}"]
    return names + [_label_name(extractor, n, label_names[label]) for label in labels_to_score(labels)]


def labels_to_score(labels: NDArray[np.int64]) -> list[int]:
    """List the labels, in order, that enough tiles carry for a score of their own."""
    present, counts = np.unique(labels, return_counts=True)
    return [int(label) for label, count in zip(present, counts, strict=True) if count >= MIN_TILES_FOR_KID]


def compare(
    extractor: str,
    label_names: Sequence[str],
    real: tuple[Features, NDArray[np.int64]],
    fake: tuple[Features, NDArray[np.int64]],
    real_statistics: Statistics | None = None,
) -> Scores:
    """Compute all scores of a generated set against the real one; the order of tiles has no meaning.

    Args:
        extractor: Name of the extractor, for the names.
        label_names: Names of the labels, by label.
        real: Features, float32 [n, d], and labels, int64 [n], of the real tiles.
        fake: The same of the generated tiles: the same n and the same number of each label.
        real_statistics: What :func:`statistics` says of the real features, where it is known already.

    Returns:
        The scores, keys as :func:`score_names_for` lists them.
    """
    (real_features, real_labels), (fake_features, fake_labels) = real, fake
    n = len(real_labels)
    scores = {
        f"fid/{extractor}/{n}": fid(real_statistics or statistics(real_features), statistics(fake_features)),
        f"kid/{extractor}/{n}": kid(real_features, fake_features),
    }
    for label in labels_to_score(real_labels):
        name = _label_name(extractor, n, label_names[label])
        scores[name] = kid(real_features[real_labels == label], fake_features[fake_labels == label])
    return scores


def statistics(features: Features) -> Statistics:
    """Mean, float64 [d], and covariance, float64 [d, d], of features [n, d]."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    # float64: cancellation in the covariance biases FID
    found: Statistics = fid_features_to_statistics(torch.from_numpy(features.astype(np.float64)))
    return found


def fid(real: Statistics, fake: Statistics) -> float:
    """Fréchet distance of two Gaussians (Heusel et al. 2017): 0 for equal ones, biased upward at small n."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    return float(fid_statistics_to_metric(real, fake, verbose=False)[KEY_METRIC_FID])


def kid(real: Features, fake: Features) -> float:
    """Kernel distance, the unbiased MMD^2 with kernel (x.y / d + 1)^3 (Bińkowski et al. 2018); it can fall below 0.

    Up to 1,000 tiles it is computed exactly, over all of them at once, without sampling noise; beyond, it is the mean
    over 100 subsets of 1,000, drawn with torch-fidelity's fixed seed. real, fake: [n, d], equal n >= 2.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    assert len(real) == len(fake) >= MIN_TILES_FOR_KID
    exact = len(real) <= KID_SUBSET_SIZE
    found = kid_features_to_metric(
        torch.from_numpy(real.astype(np.float64)),
        torch.from_numpy(fake.astype(np.float64)),
        kid_subset_size=len(real) if exact else KID_SUBSET_SIZE,
        kid_subsets=1 if exact else KID_SUBSETS,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])


def _label_name(extractor: str, n: int, label_name: str) -> str:
    return f"kid/{extractor}/{n}/label/{label_name}"
