"""Tiles that named recipes make within a CPU budget, beside real ones: ``python -m benchmarks.gans.gallery``.

For each recipe a picture (generated tiles, real ones beside them), and one row of a table: budget, generator steps, and
every score of the evaluation, under the names that say its protocol. One process, one thread, all training tiles in one
place: what is measured is the recipe, not a federation.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig, GanConfig
from fedray.data import TileStore, open_store
from fedray.evaluation import Evaluator
from fedray.experiment import save_samples
from fedray.models import Gan, LabelledTiles, Optimizers, TileShape, local_pass
from fedray.randomness import torch_stream

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
    "projected-64": Recipe(60, {"tile_size": 64}, {**_PROJECTED, "enlarge_to": 96, "ema_decay": 0.995}),
}
"""By name. On another store than ``colon``: ``--store``."""


def main() -> None:
    """Train, judge, draw, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gans.gallery", description=__doc__)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--minutes", type=float, help="CPU minutes of training (default: the recipe's own)")
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
        rows += _run(name, recipe, arguments.store, arguments.minutes or recipe.minutes, arguments.seed, arguments.out)
        frame = pd.DataFrame(rows)
        frame.to_parquet(arguments.out / "gallery.parquet")
        text = f"{_table(frame)}\n\n{machine_sentence(describe_machine(('torch', 'timm')))}"
        (arguments.out / "gallery.md").write_text(text)
        print(text, flush=True)


def _run(name: str, recipe: Recipe, path: str | None, minutes: float, seed: int, out: Path) -> list[dict[str, object]]:
    """Train one recipe. Returns the row of real tiles in its place, and its own."""
    store = open_store(DataConfig.model_validate({"store": path} if path else recipe.data))
    evaluator = Evaluator.prepare(store, EvaluationConfig())
    shape = TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))
    gan = Gan(GanConfig.model_validate(recipe.gan), shape, seed)
    num_steps, seconds = _train(gan, store, minutes * 60, seed)
    tiles = gan.sample(evaluator.labels, torch_stream(seed, "gallery"))
    save_samples(out / f"{name}.png", store, _preview(gan, store), f"{name}, {seconds / 60:.0f} CPU minutes")
    about = {"store": f"{store.name}, {store.tile_size} px", "seed": seed}
    return [
        {"recipe": "real training tiles", **about, **evaluator.floor},
        {
            "recipe": name,
            **about,
            "CPU minutes": seconds / 60,
            "generator steps": num_steps,
            **evaluator.scores(tiles, evaluator.labels),
        },
    ]


def _train(gan: Gan, store: TileStore, seconds: float, seed: int) -> tuple[int, float]:
    """Train on all training tiles until the CPU time is spent. Returns the generator's steps and the seconds."""
    indices = store.indices("train")
    tiles = LabelledTiles(store.tiles(indices), store.labels[indices], store.domains[indices])
    optimizers, done, generator_steps, started = Optimizers(gan), 0, 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        report = local_pass(gan, optimizers, tiles, num_steps=_STEPS_AT_ONCE, steps_before=done, seed=seed + done)
        done, generator_steps = done + _STEPS_AT_ONCE, generator_steps + report.generator_steps
        if done % (10 * _STEPS_AT_ONCE) == 0:
            losses = ", ".join(f"{term} {value:.3g}" for term, value in report.losses.items())
            print(f"{spent:5.0f} of {seconds:.0f} s, {generator_steps} generator steps: {losses}", flush=True)
    return generator_steps, spent


def _preview(gan: Gan, store: TileStore) -> NDArray[np.uint8]:
    """Generate eight tiles of each label, [label, tile, H, W, C]."""
    labels = np.repeat(np.arange(len(store.label_names)), 8)
    tiles = gan.sample(labels, torch_stream(0, "preview"))
    return tiles.reshape(-1, 8, *tiles.shape[1:])


def _table(frame: pd.DataFrame) -> str:
    scores = [name for name in frame if name.startswith(_SHOWN) and "/label/" not in name]
    columns = [name for name in ("recipe", "store", "CPU minutes", "generator steps", *scores) if name in frame]
    rows = [[_cell(row[name]) for name in columns] for row in frame.to_dict("records")]
    return markdown_table(tuple(columns), rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return str(value)


if __name__ == "__main__":
    main()
