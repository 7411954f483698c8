"""Tiles that named recipes make within a CPU budget, beside real ones: ``python -m benchmarks.gans.gallery``.

For each recipe a picture (generated tiles, real ones beside them), and one row of a table: budget, generator steps, and
every score of the evaluation, under the names that say its protocol. One process, one thread, all training tiles in one
place: what is measured is the recipe, not a federation.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig, GanConfig
from fedray.data import LabelledTiles, TileShape, TileStore, open_store
from fedray.evaluation import Evaluator, compared_indices, is_of_all_tiles
from fedray.randomness import torch_stream
from fedray.results.pictures import save_samples
from fedray.tasks.gan import Gan, Optimizers, local_pass

_STEPS_AT_ONCE = 20
_SHOWN = ("fid/", "kid/", "c2st/", "coverage/")


@dataclass(frozen=True)
class Recipe:
    """A GAN, the tiles it learns and the CPU minutes it has for that."""

    minutes: float
    data: dict[str, object]
    gan: dict[str, object] = field(default_factory=dict)


_PROJECTED: dict[str, object] = {
    "objective": "cgan-hinge",
    "discriminator": "projected",
    "minibatch_stddev": True,
    "generator": "residual",
    "generator_noise": True,
    "generator_channels": 16,
    "batch_size": 16,
    "generator_lr": 2e-3,
    "discriminator_lr": 2e-3,
    "beta2": 0.9,
    "diff_augment": "translation",
    "ema_decay": 0.99,
}
_WGAN_GP: dict[str, object] = {
    "generator_channels": 16,
    "discriminator_channels": 16,
    "batch_size": 16,
    "ema_decay": 0.98,
    "generator_lr": 5e-4,
    "discriminator_lr": 5e-4,
}
RECIPES = {
    "projected-32": Recipe(10, {"tile_size": 32}, _PROJECTED),
    "wgan-gp-32": Recipe(10, {"tile_size": 32}, _WGAN_GP),
    "projected-64": Recipe(30, {"tile_size": 64}, {**_PROJECTED, "enlarge_to": 96, "ema_decay": 0.995}),
}
"""By name. On another store than ``colon``: ``--store``."""


def main() -> None:
    """Train, judge, draw, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gans.gallery", description=__doc__)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(RECIPES)} (default: all)")
    parser.add_argument(
        "--at", nargs="+", type=float, metavar="MINUTES",
        help="CPU minutes of one training after which tiles are kept and judged (default: the recipe's own alone)",
    )  # fmt: skip
    parser.add_argument("--store", help="a tile store in the place of the embedded one; it brings its own tile size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "gallery")
    arguments = parser.parse_args()
    if unknown := set(arguments.recipes) - set(RECIPES):
        parser.error(f"there is no recipe {sorted(unknown)[0]!r}; take one of {', '.join(RECIPES)}")
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in arguments.recipes or RECIPES:
        recipe = RECIPES[name]
        rows += _run(name, arguments.store, arguments.at or [recipe.minutes], arguments.seed, arguments.out)
        frame = pd.DataFrame(rows)
        frame.to_parquet(arguments.out / "gallery.parquet")
        text = f"{_table(frame)}\n\n{machine_sentence(describe_machine(('torch', 'timm')))}"
        (arguments.out / "gallery.md").write_text(text)
        print(text, flush=True)


class Snapshot(NamedTuple):
    """Tiles of a generator that has trained for some time."""

    minutes: float
    """CPU minutes after which it was asked for."""
    seconds: float
    """CPU seconds that its training really took so far."""
    steps: int
    """Of the generator."""
    tiles: NDArray[np.uint8]
    """One for each of the labels, [n, H, W, C]."""
    labels: NDArray[np.int64]
    """Those of the real tiles that an evaluation compares with, [n]."""
    gan: Gan | None = None
    """The networks, as they are at that moment; None where the tiles were loaded."""

    def save(self, path: Path) -> None:
        """Keep all but the networks as ``.npz``, so that judging can be repeated without training."""
        np.savez(path, tiles=self.tiles, labels=self.labels, steps=self.steps, seconds=self.seconds)


def snapshot_path(folder: Path, name: str, minutes: float) -> Path:
    """Where the tiles of a recipe after some minutes are kept."""
    return folder / f"{name}@{minutes:g}.npz"


def load_snapshot(folder: Path, name: str, minutes: float) -> Snapshot:
    """Read what :meth:`Snapshot.save` wrote to :func:`snapshot_path`."""
    with np.load(snapshot_path(folder, name, minutes)) as kept:
        seconds, steps = float(kept["seconds"]), int(kept["steps"])
        return Snapshot(minutes, seconds, steps, kept["tiles"], kept["labels"].astype(np.int64))


def train_recipe(name: str, store: TileStore, at_minutes: Sequence[float], seed: int) -> Iterator[Snapshot]:
    """Train a recipe once, on all training tiles, and yield a snapshot after each of some CPU minutes.

    What the caller does with a snapshot does not count as training.
    """
    shape = TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))
    gan = Gan(GanConfig.model_validate(RECIPES[name].gan), shape, seed)
    labels = store.labels[compared_indices(store, EvaluationConfig())].astype(np.int64)
    indices = store.indices("train")
    tiles = LabelledTiles(store.tiles(indices), store.labels[indices], store.domains[indices])
    optimizers, done, generator_steps, spent = Optimizers(gan), 0, 0, 0.0
    for minutes in sorted(at_minutes):
        while spent < minutes * 60:
            started = time.process_time()
            report = local_pass(gan, optimizers, tiles, num_steps=_STEPS_AT_ONCE, steps_before=done, seed=seed + done)
            spent += time.process_time() - started
            done, generator_steps = done + _STEPS_AT_ONCE, generator_steps + report.steps["generator"]
            if done % (10 * _STEPS_AT_ONCE) == 0:
                losses = ", ".join(f"{term} {value:.3g}" for term, value in report.losses.items())
                print(f"{name}: {spent:.0f} s, {generator_steps} generator steps: {losses}", flush=True)
        yield Snapshot(minutes, spent, generator_steps, gan.sample(labels, torch_stream(seed, "gallery")), labels, gan)


def _run(name: str, path: str | None, at_minutes: Sequence[float], seed: int, out: Path) -> list[dict[str, object]]:
    """Train one recipe. Returns the row of real tiles in its place, and one for each snapshot."""
    store = open_store(DataConfig.model_validate({"store": path} if path else RECIPES[name].data))
    evaluator = Evaluator.prepare(store, EvaluationConfig())
    about = {"store": f"{store.name}, {store.tile_size} px", "seed": seed}
    rows: list[dict[str, object]] = [{"recipe": "real training tiles", **about, **evaluator.floor}]
    for snapshot in train_recipe(name, store, at_minutes, seed):
        kept, minutes = snapshot_path(out, name, snapshot.minutes), snapshot.seconds / 60
        snapshot.save(kept)
        assert snapshot.gan is not None
        title = f"{name}, {minutes:.0f} CPU minutes"
        save_samples(kept.with_suffix(".png"), store, _preview(snapshot.gan, store), title)
        spent = {"CPU minutes": minutes, "generator steps": snapshot.steps}
        rows.append({"recipe": name, **about, **spent, **evaluator.scores(snapshot.tiles, snapshot.labels)})
    return rows


def _preview(gan: Gan, store: TileStore) -> NDArray[np.uint8]:
    """Generate eight tiles of each label, [label, tile, H, W, C]."""
    labels = np.repeat(np.arange(len(store.label_names)), 8)
    tiles = gan.sample(labels, torch_stream(0, "preview"))
    return tiles.reshape(-1, 8, *tiles.shape[1:])


def _table(frame: pd.DataFrame) -> str:
    scores = [name for name in map(str, frame) if name.startswith(_SHOWN) and is_of_all_tiles(name)]
    columns = [name for name in ("recipe", "store", "CPU minutes", "generator steps", *scores) if name in frame]
    rows = [[_cell(row[name]) for name in columns] for row in frame.to_dict("records")]
    return markdown_table(tuple(columns), rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return str(value)


if __name__ == "__main__":
    main()
