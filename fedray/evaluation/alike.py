"""Tiles that do not differ, or not to an extractor: no distance has a meaning among them, so they are refused."""

import numpy as np
from numpy.typing import NDArray

from fedray.data import TileStore
from fedray.evaluation.errors import EvaluationError

ROUNDING = 1e-10
"""Share of the features' mean square below which their variance is that of float32's last digits."""


def check_tiles_differ(store: TileStore, indices: NDArray[np.int64], what: str) -> None:
    """Refuse tiles that are copies of one picture; reads no further than the first that differs.

    Args:
        store: Of the tiles.
        indices: Which.
        what: They are, in the message.

    Raises:
        EvaluationError: They are all the same.
    """
    first = store.tiles(indices[:1])
    if len(indices) and not any(not np.array_equal(store.tiles([index]), first) for index in indices[1:]):
        raise EvaluationError(_message(store, f"the {len(indices)} {what} are one and the same picture"))


def check_features_differ(features: NDArray[np.float32], extractor: str, store: TileStore, what: str) -> None:
    """Refuse features, [n, d], that are the same for all tiles but for rounding.

    Raises:
        EvaluationError: They are.
    """
    exact = features.astype(np.float64)
    if not exact.var(0).sum() > ROUNDING * np.mean(np.sum(exact**2, axis=1)):
        raise EvaluationError(_message(store, f"to {extractor} the {len(features)} {what} are all alike"))


def _message(store: TileStore, found: str) -> str:
    return (
        f"{found} ({store.path}): where real tiles do not differ, no score means anything; look at the pictures that "
        "were imported, and import them again"
    )
