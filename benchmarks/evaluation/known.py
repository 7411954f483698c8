"""Generators of known quality, one that trained for longer and longer: do scores fall in that order?"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.gans.gallery import RECIPES, Snapshot, load_snapshot, snapshot_path, train_recipe
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig
from fedray.data import TileStore, open_store
from fedray.evaluation import Evaluator, Scores, is_of_all_tiles, mode_of
from fedray.evaluation.reference import floor_indices

RECIPE = "projected-32"
MINUTES = (0.0, 1.0, 3.0, 10.0, 30.0)
EXTRACTORS = ("efficientnet-lite0", "domain-cnn")
SHOWN_TILES = 10

_REAL = "real training tiles"


def run_known(recipe: str, minutes: Sequence[float], folder: Path, out: Path) -> str:
    """Judge the tiles of a recipe after each of some CPU minutes of one training; writes rows and a picture.

    Args:
        recipe: Of ``benchmarks.gans.gallery``.
        minutes: Of training.
        folder: Where the tiles are; if any are missing, the recipe is trained and all are written.
        out: Folder of rows and picture.

    Returns:
        The table, in Markdown.
    """
    store = open_store(DataConfig.model_validate(RECIPES[recipe].data))
    snapshots = _snapshots(recipe, store, sorted(minutes), folder)
    scored = _score(store, snapshots)
    rows = [{"generator": name, **scores} for name, scores in scored.items()]
    pd.DataFrame(rows).to_parquet(out / f"known-{recipe}.parquet")
    names = [name for name in scored[_REAL] if mode_of(name) is not None and is_of_all_tiles(name)]
    _draw(store, snapshots, scored, names).savefig(out / f"known-{recipe}.png", dpi=110)
    return _table(scored, names)


def _snapshots(recipe: str, store: TileStore, minutes: Sequence[float], folder: Path) -> list[Snapshot]:
    if not all(snapshot_path(folder, recipe, each).is_file() for each in minutes):
        folder.mkdir(parents=True, exist_ok=True)
        for snapshot in train_recipe(recipe, store, minutes, seed=0):
            snapshot.save(snapshot_path(folder, recipe, snapshot.minutes))
    return [load_snapshot(folder, recipe, each) for each in minutes]


def _score(store: TileStore, snapshots: Sequence[Snapshot]) -> dict[str, Scores]:
    """Score every generator, and real tiles first, in the features of both extractors."""
    scored: dict[str, Scores] = {title: {} for title in (_REAL, *map(_title, snapshots))}
    for extractor in EXTRACTORS:
        evaluator = Evaluator.prepare(store, EvaluationConfig.model_validate({"extractor": extractor}))
        scored[_REAL] |= evaluator.floor
        for snapshot in snapshots:
            scored[_title(snapshot)] |= evaluator.scores(snapshot.tiles, snapshot.labels)
    return scored


def _title(snapshot: Snapshot) -> str:
    return f"{snapshot.minutes:g} min, {snapshot.steps:,} steps" if snapshot.steps else "untrained"


def in_order(values: Sequence[float], better: str) -> bool:
    """Say whether each value is better than the one before it."""
    return all(after < before if better == "min" else after > before for before, after in pairwise(values))


def _table(scored: Mapping[str, Scores], names: Sequence[str]) -> str:
    """Write a row a score, a column a generator; the last column says whether each is better than the one before."""
    generators = [name for name in scored if name != _REAL]
    rows = []
    for name in names:
        better = mode_of(name)
        assert better is not None
        values = [scored[generator][name] for generator in generators]
        order = "each better" if in_order(values, better) else "not in order"
        rows.append([f"`{name}`", *(f"{value:.3g}" for value in values), f"{scored[_REAL][name]:.3g}", order])
    return markdown_table(("", *generators, _REAL, "order"), rows)


def _draw(
    store: TileStore, snapshots: Sequence[Snapshot], scored: Mapping[str, Scores], names: Sequence[str]
) -> Figure:
    """Draw a row a generator, real tiles last: some of its tiles of each label, and its scores at the right."""
    real = floor_indices(store, EvaluationConfig())
    assert real is not None
    rows = {_title(snapshot): (snapshot.tiles, snapshot.labels) for snapshot in snapshots}
    rows[_REAL] = (store.tiles(real), store.labels[real].astype(np.int64))
    figure = Figure(figsize=(14, 1.35 * len(rows)), layout="constrained")
    for axes, (title, (tiles, labels)) in zip(
        figure.subplots(len(rows), 2, width_ratios=(SHOWN_TILES, 4), squeeze=False), rows.items(), strict=True
    ):
        axes[0].imshow(_strip(tiles, labels), interpolation="nearest")
        axes[0].set_title(title, fontsize=9, loc="left", pad=2)
        lines = [f"{_short(name):<28} {scored[title][name]:>7.3g}" for name in names if not name.startswith("recall/")]
        axes[1].text(0, 0.5, "\n".join(lines), family="monospace", fontsize=7, va="center")
        for axis in axes:
            axis.axis("off")
    return figure


def _short(name: str) -> str:
    kind, features, _ = name.split("/")
    return f"{kind.upper() if kind in ('fid', 'kid') else kind} {features}"


def _strip(tiles: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Put some tiles of each label side by side, [H, tiles * W, C]; real neighbours overlap, so none are taken."""
    present = np.unique(labels)
    places = [np.flatnonzero(labels == label) for label in present]
    spread = [each[np.linspace(0, len(each) - 1, SHOWN_TILES // len(present)).astype(int)] for each in places]
    return np.concatenate(list(tiles[np.concatenate(spread)]), axis=1)
