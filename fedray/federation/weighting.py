"""What a client weighs in the server's means."""

import numpy as np
from numpy.typing import NDArray

from fedray.config import FederationConfig


def client_weight(federation: FederationConfig, labels: NDArray[np.int64]) -> float:
    """Return what a client weighs in the mean.

    Args:
        federation: Says how clients are weighted.
        labels: Of the client's tiles, [N] int64, N >= 1.
    """
    if federation.weighting == "uniform":
        return 1.0
    if federation.weighting == "size":
        return float(len(labels))
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(len(labels) * np.exp(-(shares * np.log(shares)).sum()))
