"""FID and KID of two equally large sets of features, in float64."""

from typing import ClassVar

import numpy as np
import torch

from fedray.evaluation.metrics.base import Features, Metric, Mode, Sample

KID_SUBSET_SIZE = 1000
KID_SUBSETS = 100


class Fid(Metric):
    """Fréchet distance of all tiles; a label has too few tiles for a covariance."""

    kinds: ClassVar[dict[str, Mode | None]] = {"fid": "min"}
    min_tiles = 2
    min_label_tiles = None

    def measure(self, real: Sample, fake: Sample) -> tuple[float]:
        """See :func:`fid`."""
        return (fid(real, fake),)


class Kid(Metric):
    """Kernel distance."""

    kinds: ClassVar[dict[str, Mode | None]] = {"kid": "min"}
    least = -np.inf
    min_tiles = 2  # the unbiased estimate needs two tiles a set
    min_label_tiles = 2

    def measure(self, real: Sample, fake: Sample) -> tuple[float]:
        """See :func:`kid`."""
        return (kid(real.features, fake.features),)


def fid(real: Sample, fake: Sample) -> float:
    """Fréchet distance of two Gaussians (Heusel et al. 2017): 0 for equal ones, biased upward at small n.

    With covariances A'A and B'B, tr((A'A B'B)^1/2) is the sum of the singular values of A B', which has no more rows
    and columns than there are tiles or features. torch-fidelity takes the eigenvalues of the product, which is not
    symmetric: the same number in four times the time.
    """
    shift, cross = real.mean - fake.mean, real.root @ fake.centred.T
    squared_singular_values = np.linalg.eigvalsh(cross @ cross.T).clip(0.0)  # rounding alone makes one negative
    traces = np.sum(real.root**2) + np.sum(fake.centred**2)
    return float(shift @ shift + traces - 2 * np.sqrt(squared_singular_values).sum())


def kid(real: Features, fake: Features) -> float:
    """Kernel distance, the unbiased MMD^2 with kernel (x.y / d + 1)^3 (Bińkowski et al. 2018); it can fall below 0.

    Up to 1,000 tiles it is computed exactly, over all of them at once, without sampling noise; beyond, it is the mean
    over 100 subsets of 1,000, drawn with torch-fidelity's fixed seed. real, fake: [n, d], equal n >= 2.
    """
    # here: it brings torchvision and with it seconds, which processes that only train do without
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    assert len(real) == len(fake) >= 2
    exact = len(real) <= KID_SUBSET_SIZE
    found = kid_features_to_metric(
        torch.from_numpy(real.astype(np.float64)),
        torch.from_numpy(fake.astype(np.float64)),
        kid_subset_size=len(real) if exact else KID_SUBSET_SIZE,
        kid_subsets=1 if exact else KID_SUBSETS,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])
