"""Federated and centralised classifiers of tiles, from random and from ImageNet weights, with several seeds.

    python -m benchmarks.classification --data STORE [--seeds 3]

Prints the table of docs/classification.md: means over seeds with their standard deviation, and the CPU time of a run.
It needs no Ray: rounds are local passes and means weighted by tiles, one after another in this process, with one
thread. That is what FedAvg does on workers (tests/federation/test_classification.py holds the two against each other).
"""

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from fedray.config import ExperimentConfig, override
from fedray.data import client_partition, partitioned_store, tile_shape
from fedray.evaluation import Scores
from fedray.experiment import settled
from fedray.experiment.judging.labels import evaluate, trivial_row
from fedray.learning import Arrays
from fedray.randomness import derive_seed
from fedray.tasks import Pass, shared_parts, task_of

MODELS: dict[str, dict[str, Any]] = {
    "cnn, random": {"classification.network": "cnn"},
    "lite0, random": {"classification.network": "tf_efficientnet_lite0"},
    "lite0, ImageNet": {"classification.network": "tf_efficientnet_lite0", "classification.initialisation": "imagenet"},
}
MODES = ("federated", "centralised")
SHOWN = ("balanced-accuracy", "macro-f1", "auroc", "accuracy")
FIXED: dict[str, Any] = {
    "task": "classification",
    "partition.scheme": "majority-label",
    "partition.majority_share": 0.8,
    "federation.num_clients": 4,
    "federation.local_epochs": 2,
    "resources.device": "cpu",
}


class Cell(NamedTuple):
    """What one run scored after its last round, and its CPU time in seconds."""

    scores: Scores
    cpu_s: float


def main() -> None:
    """Run all cells, and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="STORE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    fixed = FIXED | {"data.store": options.data, "federation.num_rounds": options.rounds}
    first = settled(override(ExperimentConfig(), fixed, "the benchmark"))
    print(f"| network | training | {' | '.join(SHOWN)} | CPU s a run |\n|{'---|' * (len(SHOWN) + 3)}", flush=True)
    for model, values in MODELS.items():
        for mode in MODES:
            changes = values | {"federation.mode": mode}
            cells = [run(override(first, changes | {"seed": seed}, model)) for seed in range(options.seeds)]
            print(row(model, mode, cells), flush=True)
    trivial = trivial_row(first)
    told = {name.partition("/")[0]: value for name, value in trivial.floor.items()}
    print(f"| always {trivial.label!r} | | {' | '.join(f'{told[kind]:.3f}' for kind in SHOWN)} | |")


def run(config: ExperimentConfig) -> Cell:
    """Train and judge one classifier."""
    began, task, source = time.process_time(), task_of(config), partitioned_store(config)
    learner = task.make(config, tile_shape(config.data), "cpu")
    arrays: Arrays = learner.arrays(shared_parts(config))
    moments: dict[int, Arrays] = {}
    for round_index in range(1, config.federation.num_rounds + 1):
        replies: list[tuple[int, Arrays]] = []
        for client in range(len(client_partition(config).clients)):
            tiles = task.training(config, source.tiles(client), client)
            learner.load(arrays)
            optimizers, num_steps = task.optimizers(learner), task.steps(config, len(tiles.tiles))
            optimizers.load(moments.get(client, {}))
            seed = derive_seed(config.seed, "client", round_index, client)
            task.train(config, learner, optimizers, tiles, Pass(num_steps, (round_index - 1) * num_steps, seed))
            moments[client] = optimizers.arrays()
            replies.append((len(tiles.tiles), learner.arrays(shared_parts(config))))
        arrays = mean(replies)
    return Cell(evaluate(config, config.federation.num_rounds, arrays).scores, time.process_time() - began)


def mean(replies: list[tuple[int, Arrays]]) -> Arrays:
    """Average arrays weighted by tiles; counters stay whole numbers."""
    total, first = sum(size for size, _ in replies), replies[0][1]
    sums = {name: sum(arrays[name].astype(np.float64) * (size / total) for size, arrays in replies) for name in first}
    return {
        name: (np.rint(value) if first[name].dtype.kind == "i" else np.asarray(value)).astype(first[name].dtype)
        for name, value in sums.items()
    }


def row(model: str, mode: str, cells: list[Cell]) -> str:
    """Say a cell's means over seeds."""
    shown = []
    for kind in SHOWN:
        values = [value for cell in cells for name, value in cell.scores.items() if name.startswith(f"{kind}/")]
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        shown.append(f"{np.mean(values):.3f}{spread}")
    return f"| {model} | {mode} | {' | '.join(shown)} | {np.mean([cell.cpu_s for cell in cells]):.0f} |"


if __name__ == "__main__":
    main()
