"""What an experiment leaves for people: a picture of real and generated tiles, a table of scores."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from fedray.data import TileStore
from fedray.evaluation import interval_names, mode_of
from fedray.experiment.rounds import tile_sheet
from fedray.randomness import stream

if TYPE_CHECKING:  # imported where it draws: every trial imports this module, and matplotlib costs it half a second
    from matplotlib.figure import Figure


def draw_samples(store: TileStore, preview: NDArray[np.uint8], title: str) -> "Figure":
    """Draw real training tiles above generated ones, a block a label.

    Args:
        store: Where the real tiles are.
        preview: Generated tiles [label, tile, H, W, C] uint8.
        title: Of the picture.
    """
    from matplotlib.figure import Figure

    num_labels, columns = preview.shape[:2]
    figure = Figure(figsize=(1.0 * columns + 1.2, 2.4 * num_labels + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    axes = figure.subplots(2 * num_labels, 1, squeeze=False)[:, 0]
    for label, name in enumerate(store.label_names):
        rows = (("real", _real_tiles(store, label, columns)), ("generated", preview[label]))
        for offset, (kind, tiles) in enumerate(rows):
            axis = axes[2 * label + offset]
            axis.imshow(tile_sheet(tiles[np.newaxis]), interpolation="nearest")
            axis.set_ylabel(f"{name}\n{kind}", fontsize=8, parse_math=False)
            axis.set_xticks([])
            axis.set_yticks([])
    return figure


def save_samples(path: Path, store: TileStore, preview: NDArray[np.uint8], title: str) -> None:
    """Write :func:`draw_samples` as PNG."""
    draw_samples(store, preview, title).savefig(path, dpi=150)


def print_scores(
    console: Console, scores: dict[str, float], floor: dict[str, float], spent: tuple[float, float] | None = None
) -> None:
    """Print the final scores beside what real training tiles would score in the generator's place.

    Args:
        console: Where to.
        scores: By name.
        floor: By name.
        spent: Epsilon and delta of all that was released, with differential privacy.
    """
    table = Table(title="Scores of the averaged generator", box=box.SIMPLE_HEAD)
    table.add_column("score")
    table.add_column("better")
    table.add_column("generated", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("real tiles (floor)", justify="right")
    goals = [name for name in scores if mode_of(name) is not None]  # the others are ends of intervals
    for _, names in groupby(goals, lambda name: name.partition("/label/")[0]):
        for name in names:
            better = "lower" if mode_of(name) == "min" else "higher"
            reached = f"{floor[name]:.4g}" if name in floor else ""
            table.add_row(name, better, f"{scores[name]:.4g}", _interval(name, scores), reached)
        table.add_section()
    if spent is not None:
        epsilon, delta = spent
        table.add_row(f"privacy spent: epsilon at delta {delta:g}", "", f"{epsilon:.4g}", "", "")
    console.print(table)


def _interval(name: str, scores: dict[str, float]) -> str:
    ends = [scores[end] for end in interval_names(name) if end in scores]
    return " to ".join(f"{end:.3f}" for end in ends)


def _real_tiles(store: TileStore, label: int, count: int) -> NDArray[np.uint8]:
    candidates = store.indices("train")
    candidates = candidates[store.labels[candidates] == label]
    chosen = stream(0, "preview", label).permutation(candidates)
    return store.tiles(np.resize(chosen, count))
