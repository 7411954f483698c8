"""Families of generators at equal CPU seconds: ``python -m benchmarks.families``.

Each recipe trains for some CPU minutes of one thread, three ways: all training tiles in one place, and averaged over
four clients that have the same labels or mostly one each, whose seconds are counted together. A federation runs in one
process, with the arithmetic of FedAvg and moments that stay with the clients. How many steps fit is found by timing
some before, as a learning rate falls over all of them; the seconds told are those that the training really took.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.gans.gallery import RECIPES as GAN_RECIPES
from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig, ExperimentConfig, override
from fedray.data import LabelledTiles, TileShape, TileStore, open_store, partition_store
from fedray.evaluation import Evaluator, compared_indices, is_of_all_tiles
from fedray.learning import Arrays
from fedray.randomness import derive_seed, torch_stream
from fedray.results.pictures import save_samples
from fedray.tasks import Pass, Task, task_of

RECIPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "projected": lambda size: {"task": "gan", **{f"gan.{name}": value for name, value in _gan(size).items()}},
    "flow": lambda size: {"task": "flow", "flow.blocks": 1},
}
"""By name: what a configuration for tiles of an edge in pixels has beside its defaults."""
WAYS: dict[str, dict[str, Any]] = {
    "centralised": {"federation.num_clients": 1},
    "4 clients, iid": {"federation.num_clients": 4},
    "4 clients, majority 0.8": {
        "federation.num_clients": 4,
        "partition.scheme": "majority-label",
        "partition.majority_share": 0.8,
    },
}
"""Who has the tiles."""
_JUDGES = ("efficientnet-lite0", "domain-cnn")
_LOCAL_STEPS = 10
_TIMED_STEPS = 20
_SHOWN = ("kid/", "coverage/", "c2st/texture")


class Trained(NamedTuple):
    """What came of a training."""

    config: ExperimentConfig
    learner: Any
    """Judged by its :meth:`fedray.tasks.Sampler.sample`."""
    seconds: float
    """CPU seconds of all clients."""
    steps: int
    """Of the counted network, of all clients together."""


def main() -> None:
    """Train, judge, draw, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of a training (default: %(default)g)")
    length.add_argument("--steps", type=int, help="in a row instead, of each client: multiples of ten")
    parser.add_argument("--store", help="a tile store in the place of the embedded one")
    parser.add_argument("--tile-size", type=int, default=32, help="of the embedded store (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "families")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = {"store": arguments.store} if arguments.store else {"tile_size": arguments.tile_size}
    store = open_store(DataConfig.model_validate(data))
    judges = [Evaluator.prepare(store, EvaluationConfig.model_validate({"extractor": name})) for name in _JUDGES]
    rows: list[dict[str, Any]] = [{"recipe": "real training tiles", "way": "", **_floor(judges)}]
    for seed, recipe, way in product(arguments.seeds, arguments.recipes, arguments.ways):
        changes = {
            **RECIPES[recipe](store.tile_size),
            **WAYS[way],
            **{f"data.{name}": value for name, value in data.items()},
        }
        config = override(ExperimentConfig(), {**changes, "seed": seed, "resources.device": "cpu"}, "benchmark")
        trained = train(config, store, arguments.minutes * 60, arguments.steps)
        about = {"recipe": recipe, "way": way, "seed": seed, "CPU seconds": trained.seconds, "steps": trained.steps}
        rows.append({**about, **_judged(trained, store, judges, arguments.out / f"{recipe}, {way}, {seed}.png")})
        frame = pd.DataFrame(rows)
        frame.to_parquet(arguments.out / "families.parquet")
        text = f"{_table(frame)}\n\n{machine_sentence(describe_machine(('torch', 'timm')))}"
        (arguments.out / "families.md").write_text(text)
        print(text, flush=True)


def train(config: ExperimentConfig, store: TileStore, budget_s: float, num_steps: int | None = None) -> Trained:
    """Train for about so many CPU seconds of all clients together; what is averaged is evaluated.

    Args:
        config: Of the experiment.
        store: All tiles.
        budget_s: CPU seconds.
        num_steps: Of each client in a row, in the place of seconds.
    """
    shape = TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))
    task, num_clients = task_of(config), config.federation.num_clients
    clients = [
        LabelledTiles(store.tiles(own), store.labels[own].astype(np.int64), store.domains[own].astype(np.int64))
        for own in partition_store(store, config.partition, num_clients, config.seed).clients
    ]
    if num_steps is None:
        num_steps = int(budget_s / _seconds_of_a_step(task, config, shape, clients[0]) / num_clients)
    rounds = max(1, round(num_steps / _LOCAL_STEPS))
    config = override(config, {"federation.num_rounds": rounds, "federation.local_steps": _LOCAL_STEPS}, "benchmark")
    learner, spent, steps = task.make(config, shape, "cpu"), 0.0, 0
    optimizers = [task.optimizers(learner) for _ in clients]
    moments: list[Arrays] = [each.arrays() for each in optimizers]
    shares = np.array([len(tiles.tiles) for tiles in clients]) / sum(len(tiles.tiles) for tiles in clients)
    arrays = learner.arrays()
    for number in range(rounds):
        started, replies = time.process_time(), list[Arrays]()
        for client, tiles in enumerate(clients):
            learner.load(arrays)
            optimizer = task.optimizers(learner)
            if number:
                optimizer.load(moments[client])
            seed = derive_seed(config.seed, f"{client}/{number}")
            report = task.train(config, learner, optimizer, tiles, Pass(_LOCAL_STEPS, number * _LOCAL_STEPS, seed))
            moments[client], steps = optimizer.arrays(), steps + report.steps[task.COUNTED]
            replies.append(learner.arrays())
        arrays = {name: _mean([reply[name] for reply in replies], shares) for name in arrays}
        spent += time.process_time() - started
        if number % max(1, rounds // 10) == 0:
            print(f"{config.task}, round {number + 1} of {rounds}: {spent:.0f} s, {report.losses}", flush=True)
    learner.load(arrays)
    return Trained(config, learner, spent, steps)


def _seconds_of_a_step(task: Task, config: ExperimentConfig, shape: TileShape, tiles: LabelledTiles) -> float:
    """Time some steps of a learner that is thrown away, the first of them not counted."""
    learner = task.make(config, shape, "cpu")
    optimizer = task.optimizers(learner)
    task.train(config, learner, optimizer, tiles, Pass(2, 0, 0))
    started = time.process_time()
    task.train(config, learner, optimizer, tiles, Pass(_TIMED_STEPS, 2, 1))
    return (time.process_time() - started) / _TIMED_STEPS


def _mean(arrays: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
    if arrays[0].dtype.kind != "f":
        return arrays[0]  # counters
    mean: np.ndarray = sum(share * array.astype(np.float64) for share, array in zip(shares, arrays, strict=True))
    return mean.astype(arrays[0].dtype)


def _gan(size: int) -> dict[str, object]:
    return GAN_RECIPES["projected-32" if size <= 32 else "projected-64"].gan


def _floor(judges: Sequence[Evaluator]) -> dict[str, float]:
    return {name: value for judge in judges for name, value in judge.floor.items()}


def _judged(trained: Trained, store: TileStore, judges: Sequence[Evaluator], picture: Path) -> dict[str, float]:
    """Score tiles of the labels that are compared, by all judges, and draw eight of each label."""
    labels = store.labels[compared_indices(store, EvaluationConfig())].astype(np.int64)
    tiles = trained.learner.sample(labels, torch_stream(trained.config.seed, "families"))
    shown = np.repeat(np.arange(len(store.label_names)), 8)
    drawn = trained.learner.sample(shown, torch_stream(0, "preview"))
    save_samples(picture, store, drawn.reshape(-1, 8, *drawn.shape[1:]), picture.stem)
    return {name: value for judge in judges for name, value in judge.scores(tiles, labels).items()}


def _table(frame: pd.DataFrame) -> str:
    """Give the mean over seeds of each recipe and way, and from which to which value."""
    scores = [name for name in map(str, frame) if name.startswith(_SHOWN) and is_of_all_tiles(name)]
    rows = []
    for _, group in frame.groupby(["recipe", "way"], sort=False):
        seconds, steps = (f"{group[name].mean():,.0f}".replace("nan", "") for name in ("CPU seconds", "steps"))
        first = group.iloc[0]
        rows.append([str(first["recipe"]), str(first["way"]), seconds, steps, *(_cell(group[name]) for name in scores)])
    return markdown_table(("recipe", "way", "CPU seconds", "steps", *scores), rows)


def _cell(values: "pd.Series[float]") -> str:
    mean = f"{values.mean():.3g}"
    return mean if len(values) == 1 else f"{mean} ({values.min():.3g} to {values.max():.3g})"


if __name__ == "__main__":
    main()
