"""Tiles of a label and a scanner domain that were never seen together, against real ones that were held out."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.families import Trained
from benchmarks.flow.sheet import save_sheet
from benchmarks.flow.trained import Asked, about, made, trained_flow
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig
from fedray.data import Tile, TileStore, open_store, write_store
from fedray.data.colon import DOMAINS
from fedray.evaluation import EXTRACTORS
from fedray.evaluation.metrics.c2st import c2st
from fedray.evaluation.metrics.distances import kid
from fedray.evaluation.texture import texture
from fedray.randomness import stream

DOMAIN_NAMES = DOMAINS[:3]
LEFT_OUT = ("gland", "strong-blue-blurred")
_MADE = 256
_DRAWS = 50
_SHOWN_TILES = 12
_STATISTICS = 3
"""Shown of colours and stains, and as many of texture."""
_SPACES = ("kid/efficientnet-lite0", "c2st/texture")

Rows = NDArray[np.int64]


class Cell(NamedTuple):
    """A label in a domain, as codes."""

    label: int
    domain: int

    def of(self, store: TileStore, split: str) -> Rows:
        """Indices of its tiles in a split."""
        indices = store.indices(split)
        return indices[(store.labels[indices] == self.label) & (store.domains[indices] == self.domain)]


class Seen(NamedTuple):
    """Tiles in the features that are compared."""

    tiles: NDArray[np.uint8]
    features: NDArray[np.float32]
    statistics: NDArray[np.float32]
    names: tuple[str, ...]
    """Of the statistics."""


def run_recombination(asked: Asked, names: tuple[str, str] = LEFT_OUT) -> str:
    """Train without a cell and with it, and hold what is made for it against its real tiles. Returns the tables."""
    store = open_store(DataConfig(tile_size=asked.data.get("tile_size", 32), num_domains=len(DOMAIN_NAMES)))
    cell = Cell(store.label_names.index(names[0]), store.domain_names.index(names[1]))
    never = trained_flow(without(store, cell, asked), asked)
    networks = {
        "made, the cell never seen": never,
        "made, the cell seen": trained_flow(store, asked, never.steps),
    }
    see = _eye(store)
    held_out = see(store.tiles(cell.of(store, "test")))
    real = {words: see(store.tiles(indices)) for words, indices in _real(store, cell).items()}
    drawn = {words: see(_made(trained, cell)) for words, trained in networks.items()}
    elsewhere = next(domain for domain in range(len(DOMAIN_NAMES)) if domain != cell.domain)
    words = f"made for {DOMAIN_NAMES[elsewhere]}, the cell never seen"
    control = {words: see(_made(never, Cell(cell.label, elsewhere)))}  # does asking for the domain change anything?
    scored = _scored(held_out, real | control | drawn, asked.seed)
    scored.to_parquet(asked.out / "recombination.parquet")
    floor, *controls = real
    rows = [("real, held out", held_out), *((words, drawn[words]) for words in drawn)]
    rows += [(words, real[words]) for words in controls]
    _draw(asked.out / "flow-recombination.png", rows, names)
    taken = "; ".join(f"{words.removeprefix('made, ')}: {about(trained)}" for words, trained in networks.items())
    others = np.concatenate([real[words].statistics for words in controls if words.startswith(f"real, {names[0]}")])
    return "\n\n".join([f"Two networks ({taken}).", _table(scored), _moved(others, real[floor], drawn)])


def without(store: TileStore, cell: Cell, asked: Asked) -> TileStore:
    """Write the store again without a cell's training tiles; all others, and all of the test split, are in it."""
    left = np.setdiff1d(store.indices("train"), cell.of(store, "train"))
    kept = np.sort(np.concatenate([left, store.indices("test")]))
    label, domain = store.label_names[cell.label], store.domain_names[cell.domain]

    def tiles() -> Iterator[Tile]:
        for index, image, source in zip(kept, store.tiles(kept), store.sources(kept), strict=True):
            group, codes = store.group_names[store.groups[index]], (int(store.labels[index]), int(store.domains[index]))
            yield Tile(image, *codes, group, str(store.splits[index]), source)

    name = f"{store.name}-without-{label}-{domain}"
    written = write_store(
        asked.out / name,
        tiles(),
        label_names=store.label_names,
        domain_names=store.domain_names,
        group_kind=store.group_kind,
        overwrite=True,
    )
    pairs = [
        [len(Cell(label, domain).of(written, "train")) for domain in range(len(DOMAIN_NAMES))] for label in range(2)
    ]
    print(f"training tiles of {store.label_names} in {store.domain_names}: {pairs}", flush=True)
    assert pairs[cell.label][cell.domain] == 0, "the cell is among the training tiles"
    assert len(cell.of(written, "test")) == len(cell.of(store, "test")), "its held-out tiles are not all there"
    return written


def _real(store: TileStore, cell: Cell) -> dict[str, Rows]:
    """Real training tiles by what they are: of the cell first, then of its label elsewhere, then of other labels."""
    label, domain = store.label_names[cell.label], store.domain_names[cell.domain]
    rows = {f"real, {label}, {domain} (floor)": cell.of(store, "train")}
    for other, name in enumerate(store.domain_names):
        if other != cell.domain:
            rows[f"real, {label}, {name}"] = Cell(cell.label, other).of(store, "train")
    for other, name in enumerate(store.label_names):
        if other != cell.label:
            rows[f"real, {name}, {domain}"] = Cell(other, cell.domain).of(store, "train")
    return rows


def _made(trained: Trained, cell: Cell) -> NDArray[np.uint8]:
    wanted = np.ones(_MADE, np.int64)
    return made(trained.learner, cell.label * wanted, ("recombination",), cell.domain * wanted)


def _eye(store: TileStore) -> Callable[[NDArray[np.uint8]], Seen]:
    extractor = EXTRACTORS["efficientnet-lite0"](store, EvaluationConfig(extractor="efficientnet-lite0"))

    def see(tiles: NDArray[np.uint8]) -> Seen:
        columns = texture(tiles)
        features = extractor.features(tiles, torch.device("cpu"))
        return Seen(tiles, features, np.stack(list(columns.values()), axis=1), tuple(columns))

    return see


def _scored(held_out: Seen, sets: Mapping[str, Seen], seed: int) -> pd.DataFrame:
    """Score random draws of each set against as many held-out tiles of the cell."""
    num = min(len(each.tiles) for each in (held_out, *sets.values()))
    rows: list[dict[str, Any]] = []
    for words, tiles in sets.items():
        rng = stream(seed, "looks", "recombination", words)
        for draw in range(_DRAWS):
            real, fake = (rng.choice(len(each.tiles), num, replace=False) for each in (held_out, tiles))
            scores = (
                kid(held_out.features[real], tiles.features[fake]),
                c2st(held_out.statistics[real], tiles.statistics[fake]),
            )
            named = {f"{space}/{num}": value for space, value in zip(_SPACES, scores, strict=True)}
            rows.append({"tiles": words, "draw": draw, **named})
    return pd.DataFrame(rows)


def _table(scored: pd.DataFrame) -> str:
    """Give the mean of each score over draws, and where the middle nine tenths of them lie."""
    names = [name for name in map(str, scored) if name.startswith(_SPACES)]
    rows = []
    for words, drawn in scored.groupby("tiles", sort=False):
        cells = [
            f"{drawn[n].mean():.3g} ({drawn[n].quantile(0.05):.3g} to {drawn[n].quantile(0.95):.3g})" for n in names
        ]
        rows.append([str(words), *cells])
    return markdown_table(("against held-out real tiles of the cell", *(f"`{name}`" for name in names)), rows)


def _moved(others: NDArray[np.float32], cell: Seen, drawn: Mapping[str, Seen]) -> str:
    """Say in which statistics the domain changes the label's tiles most, and how far made tiles are changed.

    All on the training tiles' side of the section: what differs is the domain, not the tissue. In standard deviations
    of real tiles.
    """
    apart = _effect(cell.statistics, others)
    spread = _spread(cell.statistics, others)
    changes = [(each.statistics.mean(0) - others.mean(0)) / spread for each in drawn.values()]
    is_colour = np.array([name.startswith(("stain/", "colour/")) for name in cell.names])
    order = np.argsort(-np.abs(apart))
    most = [*order[is_colour[order]][:_STATISTICS], *order[~is_colour[order]][:_STATISTICS]]
    rows = [[f"`{cell.names[at]}`", f"{apart[at]:+.2f}", *(f"{change[at]:+.2f}" for change in changes)] for at in most]
    worst = [_worst(words, _effect(each.statistics, cell.statistics), cell.names) for words, each in drawn.items()]
    header = ("from the label's tiles in other domains", "real tiles of the cell", *drawn)
    return "\n\n".join([markdown_table(header, rows), *worst])


def _effect(tiles: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    effect: NDArray[np.float64] = (tiles.mean(0) - others.mean(0)) / _spread(tiles, others)
    return effect


def _spread(tiles: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the standard deviation of each statistic within both sets."""
    spread: NDArray[np.float64] = np.sqrt((tiles.var(0, dtype=np.float64) + others.var(0, dtype=np.float64)) / 2)
    return spread


def _worst(words: str, effect: NDArray[np.float64], names: tuple[str, ...]) -> str:
    most = np.argsort(-np.abs(effect))[:3]
    told = ", ".join(f"`{names[at]}` ({effect[at]:+.2f})" for at in most)
    return f"Furthest from real tiles of the cell, {words}: {told}."


def _draw(path: Path, rows: list[tuple[str, Seen]], names: tuple[str, str]) -> None:
    spread = [
        (words, seen.tiles[np.linspace(0, len(seen.tiles) - 1, _SHOWN_TILES).astype(int)]) for words, seen in rows
    ]
    save_sheet(path, spread, f"{names[0]} in {names[1]}, a pair that one network has never seen")
