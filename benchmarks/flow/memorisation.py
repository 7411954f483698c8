"""Do generated tiles come nearer to training tiles than held-out real ones do: in pixels, and in features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.flow.sheet import save_sheet
from benchmarks.flow.trained import JUDGES, Asked, about, made, trained_flow
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig
from fedray.data import TileStore, open_store
from fedray.evaluation import EXTRACTORS
from fedray.evaluation.destruction import DESTRUCTIONS
from fedray.evaluation.memorisation import Distances, nearest, orientations, share_interval, share_nearer
from fedray.randomness import stream

Tiles = NDArray[np.uint8]
Features = Callable[[Tiles], NDArray[np.float32]]
Change = Callable[[Tiles, np.random.Generator], Tiles]

QUANTILES = (0.01, 0.05)
_TIMES = 2
"""Generated tiles for each held-out one."""
_NUM_PLANTED = 100
_PAIRS = 12
_DRAWN = ("pixels", "efficientnet-lite0")
PLANTED: dict[str, Change] = {
    "as they are": lambda tiles, rng: tiles,
    "blurred by 1 px": lambda tiles, rng: _destroyed("blur 1 px", tiles, rng),
    "JPEG 30": lambda tiles, rng: _destroyed("JPEG 30", tiles, rng),
}
"""What is done to turned training tiles that stand in the place of generated ones, which must be found then."""


def run_memorisation(asked: Asked) -> str:
    """Find the nearest training tiles in all features. Returns the table, in Markdown."""
    store = open_store(DataConfig.model_validate(asked.data))
    trained, rng = trained_flow(store, asked), stream(asked.seed, "looks", "memorisation")
    training, held_out = (store.tiles(store.indices(split)) for split in ("train", "test"))
    generated = made(trained.learner, np.tile(store.labels[store.indices("test")], _TIMES), ("memorisation",))
    planted = {words: _planted(training, _NUM_PLANTED, change, rng) for words, change in PLANTED.items()}
    turned, rows, pairs = orientations(training), list[dict[str, Any]](), list[tuple[str, Tiles]]()
    for name, features in _spaces(store).items():
        known = features(turned.reshape(-1, *training.shape[1:])).reshape(8, len(training), -1)
        found, control = nearest(features(generated), known), nearest(features(held_out), known).distances
        row = {"features": name, **_compared(found.distances, control, rng), "planted": _NUM_PLANTED}
        for words, tiles in planted.items():
            distances = nearest(features(tiles), known).distances
            row[f"found/{words}"] = int(np.sum(distances < np.quantile(control, QUANTILES[0])))
        rows.append(row)
        if name in _DRAWN:
            most = np.argsort(found.distances)[:_PAIRS]
            neighbours = turned[found.orientations[most], found.places[most]]
            pairs += [(f"generated, nearest in {name}", generated[most]), ("training tile", neighbours)]
    frame = pd.DataFrame(rows)
    frame.to_parquet(asked.out / "memorisation.parquet")
    title = "The generated tiles that are nearest to training tiles, and those, turned as they are nearest"
    save_sheet(asked.out / "flow-nearest.png", pairs, title)
    return f"{len(generated)} tiles of one network, {about(trained)}.\n\n{_table(frame)}"


def _spaces(store: TileStore) -> dict[str, Features]:
    """In what distances are measured, by name: pixels as they are, pixels blurred by 1 px, features of extractors."""

    def blurred(tiles: Tiles) -> NDArray[np.float32]:
        return _pixels(_destroyed("blur 1 px", tiles, np.random.default_rng(0)))

    def of(name: str) -> Features:
        extractor = EXTRACTORS[name](store, EvaluationConfig.model_validate({"extractor": name}))
        return lambda tiles: extractor.features(tiles, torch.device("cpu"))

    return {"pixels": _pixels, "blurred pixels": blurred, **{name: of(name) for name in JUDGES}}


def _pixels(tiles: Tiles) -> NDArray[np.float32]:
    return tiles.reshape(len(tiles), -1).astype(np.float32)


def _destroyed(name: str, tiles: Tiles, rng: np.random.Generator) -> Tiles:
    return DESTRUCTIONS[name].apply(tiles, np.zeros(len(tiles), np.int64), rng)


def _planted(training: Tiles, num: int, change: Change, rng: np.random.Generator) -> Tiles:
    """Turn and change some training tiles: what a network that copies would make."""
    chosen = training[rng.choice(len(training), num, replace=False)]
    return change(orientations(chosen)[rng.integers(8, size=num), np.arange(num)], rng)


def _compared(distances: Distances, control: Distances, rng: np.random.Generator) -> dict[str, float]:
    row = {
        "nearest": float(distances.min()),
        "median": float(np.median(distances)),
        "held-out nearest": float(control.min()),
        "held-out median": float(np.median(control)),
    }
    for quantile in QUANTILES:
        row[f"share/{quantile}"] = share_nearer(distances, control, quantile)
        row[f"share-low/{quantile}"], row[f"share-high/{quantile}"] = share_interval(distances, control, quantile, rng)
    return row


def _table(frame: pd.DataFrame) -> str:
    rows = []
    for row in frame.to_dict("records"):
        far = [f"{row[f'{which}nearest']:.3g}, {row[f'{which}median']:.3g}" for which in ("", "held-out ")]
        shares = [
            f"{row[f'share/{q}']:.1%} ({row[f'share-low/{q}']:.1%} to {row[f'share-high/{q}']:.1%})" for q in QUANTILES
        ]
        found = [f"{row[f'found/{words}']} of {row['planted']}" for words in PLANTED]
        rows.append([str(row["features"]), *far, *shares, *found])
    header = ["distance in", "nearest, median", "of held-out tiles"]
    header += [f"nearer than {quantile:.0%} of held-out tiles" for quantile in QUANTILES]
    return markdown_table([*header, *(f"planted copies found, {words}" for words in PLANTED)], rows)
