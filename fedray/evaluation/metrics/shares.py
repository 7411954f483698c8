"""Intervals of shares, which end at 0 and 1."""

import numpy as np


def wilson(share: float, squared: float) -> tuple[float, float]:
    """Wilson's score interval of a share of tiles; it has a length at 0 and 1, too, and ends there.

    Args:
        share: In [0, 1].
        squared: Quantile of the normal distribution, squared, over the number of independent tiles.
    """
    middle = (share + squared / 2) / (1 + squared)
    half = np.sqrt(share * (1 - share) * squared + squared**2 / 4) / (1 + squared)
    low, high = float(middle - half), float(middle + half)
    return max(0.0, min(share, low)), min(1.0, max(share, high))  # at 0 and 1, rounding aside
