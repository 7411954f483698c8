"""Trains GANs on real tissue within a CPU budget and judges them: ``python -m benchmarks.gans.colon``.

For each objective: FID against real test tiles, beside that of the untrained generator and of real tiles (the floor),
and whether a classifier that was trained on real tiles sees in a generated tile the label that was asked for. One
process, one thread, no federation: what is measured is the objective and its training.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY
from benchmarks.tables import markdown_table, replace_section
from fedray.config import DataConfig, EvaluationConfig, GanConfig
from fedray.data import LabelledTiles, TileShape, TileStore, open_store
from fedray.evaluation import Evaluator
from fedray.randomness import torch_stream
from fedray.results.pictures import save_samples
from fedray.tasks.gan import Gan, Optimizers, local_pass

_README = REPOSITORY / "benchmarks" / "README.md"
_COMMON = {"generator_channels": 16, "discriminator_channels": 16, "batch_size": 16, "ema_decay": 0.99}
_RECIPES: dict[str, dict[str, object]] = {
    "wgan-gp": {"generator_lr": 5e-4, "discriminator_lr": 5e-4},
    "acgan": {"diff_augment": "histology"},
    "acgan-ns": {"diff_augment": "histology"},
    "cgan-ns": {"diff_augment": "histology"},
    "cgan-hinge": {"n_critic": 1, "generator": "residual"},
}


def main() -> None:
    """Train and judge, and write the table, the pictures and all figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gans.colon", description=__doc__)
    parser.add_argument("--objectives", nargs="+", choices=list(_RECIPES), default=list(_RECIPES))
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU seconds of training (default: %(default)g)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "colon")
    parser.add_argument("--readme", action="store_true", help="also put table and pictures into benchmarks/ and docs/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    store = open_store(DataConfig())
    judge = _Judge(store)
    rows = [judge.real_row()]
    for objective in arguments.objectives:
        gan = _new_gan(store, objective)
        rows.append(judge.row(f"{objective}, untrained", gan))
        steps = _train(gan, store, arguments.seconds)
        rows.append(judge.row(objective, gan) | {"generator steps": steps})
        picture = (REPOSITORY / "docs" if arguments.readme else arguments.out) / f"colon-{objective}.png"
        save_samples(picture, store, judge.preview(gan), f"{objective}, {arguments.seconds:g} s on one CPU core")
    frame = pd.DataFrame(rows)
    frame.to_parquet(arguments.out / "scores.parquet")
    text = "\n".join([_table(frame, judge), "", machine_sentence(describe_machine(("torch", "timm")))])
    (arguments.out / "table.md").write_text(text)
    print(text)
    if arguments.readme:
        replace_section(_README, "colon", text)


def _new_gan(store: TileStore, objective: str) -> Gan:
    config = GanConfig.model_validate({"objective": objective, **_COMMON, **_RECIPES[objective]})
    return Gan(config, TileShape(store.tile_size, store.channels, len(store.label_names)), seed=0)


def _train(gan: Gan, store: TileStore, seconds: float) -> int:
    """Train on all training tiles until the CPU time is spent. Returns the generator's steps."""
    indices = store.indices("train")
    tiles = LabelledTiles(store.tiles(indices), store.labels[indices], store.domains[indices])
    optimizers, done, generator_steps = Optimizers(gan), 0, 0
    started = time.process_time()
    while (spent := time.process_time() - started) < seconds:
        report = local_pass(gan, optimizers, tiles, num_steps=50, steps_before=done, seed=done)
        done, generator_steps = done + 50, generator_steps + report.steps["generator"]
        if done % 500 == 0:
            losses = ", ".join(f"{name} {value:.3g}" for name, value in report.losses.items())
            print(f"{gan.config.objective:10} {spent:5.0f} s, {generator_steps} generator steps: {losses}", flush=True)
    return generator_steps


class _Judge:
    """Scores tiles, and reads their labels with a classifier trained on real ones."""

    def __init__(self, store: TileStore) -> None:
        self._store = store
        self.evaluator = Evaluator.prepare(store, EvaluationConfig(num_samples=256))
        train, test = store.indices("train"), store.indices("test")
        self._classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5000))
        self._classifier.fit(_pixels(store.tiles(train)), store.labels[train])
        self.accuracy_real = self._accuracy(store.tiles(test), store.labels[test])

    def row(self, name: str, gan: Gan) -> dict[str, object]:
        """Judge a generator."""
        labels = self.evaluator.labels
        tiles = gan.sample(labels, torch_stream(0, "benchmark"))
        scores = self.evaluator.scores(tiles, labels)
        fid = next(value for key, value in scores.items() if key.startswith("fid/"))
        kid = next(value for key, value in scores.items() if key.startswith("kid/"))
        return {"name": name, "FID": fid, "KID": kid, "balanced accuracy": self._accuracy(tiles, labels)}

    def real_row(self) -> dict[str, object]:
        """Judge real tiles in a generator's place."""
        floor = self.evaluator.floor
        fid = next((value for key, value in floor.items() if key.startswith("fid/")), np.nan)
        kid = next((value for key, value in floor.items() if key.startswith("kid/")), np.nan)
        return {"name": "real tiles", "FID": fid, "KID": kid, "balanced accuracy": self.accuracy_real}

    def preview(self, gan: Gan) -> NDArray[np.uint8]:
        """Generate eight tiles of each label, [label, tile, H, W, C]."""
        labels = np.repeat(np.arange(len(self._store.label_names)), 8)
        tiles = gan.sample(labels, torch_stream(0, "preview"))
        return tiles.reshape(-1, 8, *tiles.shape[1:])

    def _accuracy(self, tiles: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        return float(balanced_accuracy_score(labels, self._classifier.predict(_pixels(tiles))))


def _pixels(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe tiles for a linear classifier, apart from FID's extractor: mean, spread and quantiles of each colour."""
    flat = tiles.reshape(len(tiles), -1, tiles.shape[-1]) / 255.0
    quantiles = np.quantile(flat, (0.1, 0.25, 0.5, 0.75, 0.9), axis=1).transpose(1, 0, 2)
    described: NDArray[np.float64] = np.concatenate([flat.mean(1), flat.std(1), quantiles.reshape(len(tiles), -1)], 1)
    return described


def _table(frame: pd.DataFrame, judge: _Judge) -> str:
    rows = [
        [
            str(row["name"]),
            "" if pd.isna(row.get("generator steps")) else f"{row['generator steps']:,.0f}",
            f"{row['FID']:.1f}",
            f"{row['KID']:.4f}",
            f"{row['balanced accuracy']:.3f}",
        ]
        for row in frame.to_dict("records")
    ]
    size = judge.evaluator.num_samples
    header = (
        "",
        "generator steps",
        f"fid/efficientnet-lite0/{size}",
        f"kid/efficientnet-lite0/{size}",
        "label recognised (balanced)",
    )
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
