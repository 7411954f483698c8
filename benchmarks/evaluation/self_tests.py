"""The self-test of an extractor on several stores and numbers of tiles: tables, rows and a picture."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig
from fedray.data import TileStore, open_store
from fedray.evaluation import Evaluator, SelfTest, compared_indices, is_of_all_tiles
from fedray.evaluation.destruction import DESTRUCTIONS, PERMUTED
from fedray.experiment.self_tested import self_test_table

_LEGEND = (
    "Bold: blind, no worse than undestroyed. Italic: worse, but within the spread of as many real tiles. With a star: "
    "not above the interval of the floor itself."
)
SIZES = (64, 128, 256)
KINDS = ("kid", "fid")
_COLOURS = ("tab:orange", "tab:purple", "tab:blue")


class Tested(NamedTuple):
    """The self-test of one store and number of tiles."""

    store: str
    num_tiles: int
    test: SelfTest

    def score(self, kind: str) -> str:
        """Name the score of all tiles of a kind."""
        return next(name for name in self.test.floor if name.startswith(f"{kind}/") and is_of_all_tiles(name))


def run_self_tests(extractor: str, paths: Sequence[str], sizes: Sequence[int], out: Path) -> str:
    """Test an extractor on ``colon`` of 32 and 64 px and on imported stores; writes rows and a picture.

    Returns:
        The tables, in Markdown.
    """
    stores = [open_store(DataConfig(tile_size=size)) for size in (32, 64)]
    stores += [open_store(DataConfig(store=path)) for path in paths]
    tested = [Tested(_title(store), *found) for store in stores for found in _tests(store, extractor, sizes)]
    frames = [self_test_table(one.test).assign(store=one.store, num_tiles=one.num_tiles) for one in tested]
    pd.concat(frames).to_parquet(out / f"self-test-{extractor}.parquet")
    _draw(tested, extractor).savefig(out / f"self-test-{extractor}.png", dpi=120)
    tables = (f"{kind.upper()} in the features of {extractor}:\n\n{_table(tested, kind)}" for kind in KINDS)
    return "\n\n".join([*tables, _LEGEND])


def _tests(store: TileStore, extractor: str, sizes: Sequence[int]) -> list[tuple[int, SelfTest]]:
    """Test with each number of tiles, and with the default one where that is smaller."""
    most = len(compared_indices(store, EvaluationConfig()))
    found = []
    for num in sorted({min(size, most) for size in sizes}):
        config = EvaluationConfig.model_validate({"extractor": extractor, "num_samples": num})
        test = Evaluator.prepare(store, config).self_test
        if test is None:
            raise SystemExit(f"{store.path} has too few tiles for a self-test of {num}")
        found.append((num, test))
    return found


def _title(store: TileStore) -> str:
    return f"{store.name.removesuffix(f'-{store.tile_size}')} {store.tile_size} px"


def _table(tested: Sequence[Tested], kind: str) -> str:
    """Write a column a store, with the numbers of tiles beside each other in its cells."""
    stores = [[one for one in tested if one.store == store] for store in dict.fromkeys(one.store for one in tested)]
    lines: dict[str, Callable[[Tested], str]] = {
        "real tiles": lambda one: f"{one.test.floor[one.score(kind)]:.3g}",
        "their mean, up to": lambda one: f"{one.test.floor_intervals[one.score(kind)][1]:.3g}",
        "one draw, up to": lambda one: f"{one.test.intervals[one.score(kind)][1]:.3g}",
    }
    for name in DESTRUCTIONS:
        if name != PERMUTED:
            lines[name] = partial(_cell, name=name, kind=kind)
    lines["order"] = partial(_order, kind=kind)
    header = ("", *(f"{store[0].store}, n = {', '.join(str(one.num_tiles) for one in store)}" for store in stores))
    return markdown_table(
        header, [[name, *(", ".join(map(cell, store)) for store in stores)] for name, cell in lines.items()]
    )


def _cell(one: Tested, name: str, kind: str) -> str:
    if name not in one.test.scores:
        return "-"
    score = one.score(kind)
    star = r"\*" if one.test.scores[name][score] <= one.test.floor_intervals[score][1] else ""
    value = f"{one.test.scores[name][score]:.3g}{star}"
    marks = {"seen": "", "within the spread": "*", "blind": "**"}
    mark = marks[one.test.state(name, score)]
    return f"{mark}{value}{mark}"


def _order(one: Tested, kind: str) -> str:
    wrong = one.test.misordered(one.score(kind))
    return " and ".join(f"{far} not above {near}" for near, far in wrong) or "right"


def _draw(tested: Sequence[Tested], extractor: str) -> Figure:
    """Draw a row a kind of score, a panel a store, a colour a number of tiles; dashed: up to where real tiles score."""
    stores = list(dict.fromkeys(one.store for one in tested))
    figure = Figure(figsize=(4.6 * len(stores), 7.6), layout="constrained")
    panels = figure.subplots(len(KINDS), len(stores), squeeze=False)
    for row, kind in zip(panels, KINDS, strict=True):
        for axis, store in zip(row, stores, strict=True):
            _draw_panel(axis, [one for one in tested if one.store == store], kind)
            axis.set_title(f"{kind.upper()}, {store}", fontsize=10)
    figure.suptitle(f"Real tiles destroyed on purpose, in the features of {extractor}", fontsize=11)
    return figure


def _draw_panel(axis: Axes, tested: Sequence[Tested], kind: str) -> None:
    names = ["real tiles", *(name for name in DESTRUCTIONS if name != PERMUTED)][::-1]
    for one, colour in zip(tested, _COLOURS, strict=False):
        score = one.score(kind)
        values = {"real tiles": one.test.floor[score]} | {
            tiles: found[score] for tiles, found in one.test.scores.items()
        }
        places = [(values[name], place) for place, name in enumerate(names) if name in values]
        axis.plot(*np.transpose(places), "o", ms=4, color=colour, label=f"n = {one.num_tiles}")
        axis.axvline(one.test.intervals[score][1], color=colour, ls="--", lw=0.8)
    if kind == "fid":
        axis.set_xscale("log")
    else:  # kernel distances of real tiles can fall below zero
        axis.set_xscale("symlog", linthresh=0.1, linscale=0.4)
        axis.set_xlim(right=8.0)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize=7, loc="upper right")
