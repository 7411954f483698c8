"""Tiles that validate, and how well they are told."""

import numpy as np
from numpy.typing import NDArray

from fedray.config.classification import ClassificationConfig
from fedray.data import LabelledTiles
from fedray.randomness import stream


def split_validation(
    tiles: LabelledTiles, config: ClassificationConfig, seed: int, client: int
) -> tuple[LabelledTiles, LabelledTiles]:
    """Divide a client's tiles into those it trains on and those that validate: the same every time it is asked.

    Of each label the configured share validates, rounded, but one tile of two or more at the least, and never all.

    Args:
        tiles: The client's.
        config: Whether any validate (``patience``), and which share.
        seed: Of the experiment.
        client: Its index.

    Returns:
        Training tiles, of each label that the client has; then the others, which may be none.
    """
    validates = np.zeros(len(tiles.labels), bool)
    if config.patience is not None:
        random = stream(seed, "validation", client)
        for label in np.unique(tiles.labels):
            own = random.permutation(np.flatnonzero(tiles.labels == label))
            num = min(len(own) - 1, max(1, round(config.validation_share * len(own))))
            validates[own[:num]] = True
    return _chosen(tiles, ~validates), _chosen(tiles, validates)


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean over tiles of -log of the probability of their label, without smoothing or weights.

    Args:
        logits: [N, num_labels] float32, N >= 1.
        labels: [N] int64.
    """
    from scipy.special import log_softmax

    chosen = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return float(-chosen.mean())


def _chosen(tiles: LabelledTiles, which: NDArray[np.bool_]) -> LabelledTiles:
    return LabelledTiles(tiles.tiles[which], tiles.labels[which], tiles.domains[which])
