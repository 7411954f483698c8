"""The scores of tiles from whatever generator: those that an experiment's own would have, with floor and picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.data.given import GivenTiles
from fedray.evaluation import EvaluationError, Evaluator, Scores, compared_indices
from fedray.evaluation.ceilings import ceilings
from fedray.evaluation.differences import differences
from fedray.experiment.judging.samples import PREVIEW_TILES
from fedray.experiment.self_tested import keep_self_test
from fedray.randomness import stream
from fedray.reports.judgement import score_table
from fedray.results.pictures import save_samples
from fedray.storage import parquet_bytes, write_whole

TABLE, PICTURE, DIFFERENCES = "scores.parquet", "samples.png", "differences.parquet"
"""Files of the results."""

_LEAST = 16
"""Fewest tiles that an evaluation compares (``evaluation.num_samples``)."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Tiles that were scored.

    Attributes:
        scores: By name, with the ends of their intervals.
        floor: What other real tiles score in their place, by name; empty where the store has too few.
        ceilings: What destroyed real tiles score, by name of the set, then of the score.
        tiles: Those compared, uint8 [n, H, W, C].
        labels: Theirs, int64 [n].
        differences: In which statistics they differ from the real ones (:func:`fedray.evaluation.differences`).
    """

    scores: Scores
    floor: Scores
    ceilings: Mapping[str, Scores]
    tiles: NDArray[np.uint8]
    labels: NDArray[np.int64]
    differences: pd.DataFrame


def score_given(
    given: GivenTiles, store: TileStore, config: EvaluationConfig, evaluator: Evaluator, seed: int
) -> Scored:
    """Score tiles against a store's real ones.

    Args:
        given: The tiles.
        store: The real ones.
        config: How they are compared.
        evaluator: Prepared for store and config.
        seed: Which tiles are drawn of labels that have more than are compared.

    Raises:
        EvaluationError: A label has fewer tiles than are compared.
        StoreError: A tile cannot be read, or is of another size.
    """
    chosen = choose(given.labels, store, config, seed)
    tiles, labels = given.read(chosen), given.labels[chosen]
    return Scored(
        scores=evaluator.scores_with_intervals(tiles, labels),
        floor=evaluator.floor,
        ceilings=ceilings(store, config, evaluator),
        tiles=tiles,
        labels=labels,
        differences=differences(tiles, store, config),
    )


def choose(labels: NDArray[np.int64], store: TileStore, config: EvaluationConfig, seed: int) -> NDArray[np.int64]:
    """Draw as many tiles of each label as of real ones are compared.

    Args:
        labels: int64 [N], of the tiles to draw from.
        store: The real tiles.
        config: How they are compared.
        seed: Of the draw.

    Returns:
        Positions, int64 [n], ascending.

    Raises:
        EvaluationError: A label has too few; the message says how many are needed, and for which smaller number there
            are enough.
    """
    wanted, num_labels = _wanted(store, config), len(store.label_names)
    have = np.bincount(labels, minlength=num_labels)
    if short := np.flatnonzero(have < wanted).tolist():
        needed = ", ".join(f"{wanted[label]} of {store.label_names[label]!r}, not {have[label]}" for label in short)
        fewer = _enough_for(have, store, config)
        less = f", or compare fewer by --num-samples {fewer}, which is another score" if fewer else ""
        raise EvaluationError(
            f"scores compare as many tiles of each label as of real ones, {int(wanted.sum())} in all, which needs "
            f"{needed}; generate more{less}"
        )
    drawn = [
        stream(seed, "score-tiles", label).choice(np.flatnonzero(labels == label), wanted[label], replace=False)
        for label in range(num_labels)
    ]
    positions: NDArray[np.int64] = np.sort(np.concatenate(drawn))
    return positions


def _wanted(store: TileStore, config: EvaluationConfig) -> NDArray[np.int64]:
    """Count the real tiles of each label that are compared, int64 [label]."""
    return np.bincount(store.labels[compared_indices(store, config)], minlength=len(store.label_names))


def _enough_for(have: NDArray[np.int64], store: TileStore, config: EvaluationConfig) -> int | None:
    """Find the largest number of tiles to compare for which there are enough of each label."""
    for num in range(min(int(have.sum()), int(_wanted(store, config).sum()) - 1), _LEAST - 1, -1):
        if (_wanted(store, config.model_copy(update={"num_samples": num})) <= have).all():
            return num
    return None


def write_scored(scored: Scored, store: TileStore, evaluator: Evaluator, title: str, folder: Path) -> None:
    """Write both tables, a picture, real tiles above those that were scored, and the self-test into a folder."""
    keep_self_test(evaluator.self_test, folder)
    write_whole(folder / TABLE, parquet_bytes(score_table(scored.scores, scored.floor, scored.ceilings)))
    write_whole(folder / DIFFERENCES, parquet_bytes(scored.differences))
    save_samples(folder / PICTURE, store, _preview(scored, len(store.label_names)), title)


def _preview(scored: Scored, num_labels: int) -> NDArray[np.uint8]:
    """Take some tiles of each label, [label, tile, H, W, C]; white ones of a label that is not compared."""
    preview = np.full((num_labels, PREVIEW_TILES, *scored.tiles.shape[1:]), 255, np.uint8)
    for label in np.unique(scored.labels).tolist():
        preview[label] = scored.tiles[np.resize(np.flatnonzero(scored.labels == label), PREVIEW_TILES)]
    return preview
