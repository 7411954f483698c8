"""A velocity network that was trained for some CPU minutes and is kept: what all looks look at."""

import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from benchmarks.families import RECIPES, WAYS, Trained, train
from fedray.config import ExperimentConfig, override
from fedray.data import TileShape, TileStore
from fedray.randomness import torch_stream
from fedray.storage import in_order
from fedray.tasks import task_of
from fedray.tasks.flow import AVERAGE, Flow

JUDGES = ("efficientnet-lite0", "domain-cnn")
"""Extractors."""

_AFTERWARDS = {"sampler", "steps", "guidance"}
"""Options of tiles that are made, and not of the training."""


class Asked(NamedTuple):
    """What a look is asked for."""

    minutes: float
    """CPU minutes of a training on one thread."""
    seed: int
    out: Path
    """Folder of trained networks, tables, rows and pictures."""
    data: dict[str, Any]
    """Of the section ``data``: the store."""


def trained_flow(store: TileStore, asked: Asked, num_steps: int | None = None) -> Trained:
    """Train on all training tiles in one place, or load what an earlier call trained on them with the same options.

    Args:
        store: All tiles.
        asked: What for.
        num_steps: Of the training, in the place of minutes.
    """
    size = store.tile_size
    changes = {**RECIPES["flow"](size), **WAYS["centralised"], "seed": asked.seed, "resources.device": "cpu"}
    config = override(ExperimentConfig(), changes, "benchmark")
    path = asked.out / f"{store.name}-{asked.minutes:g}-minutes-seed-{asked.seed}.safetensors"
    same = {"flow": config.flow.model_dump_json(exclude=_AFTERWARDS), "fingerprint": store.fingerprint}
    found = _loaded(path, config, store, same)
    if found is not None and num_steps in (None, found.steps):
        print(f"trained before, for {found.seconds:.0f} CPU seconds: {path}", flush=True)
        return found
    trained = train(config, store, asked.minutes * 60, num_steps)
    told = same | {"trained": json.dumps([trained.seconds, trained.steps])}
    save_file(in_order(trained.learner.arrays([AVERAGE])), path, metadata=told)
    return trained


def solved(flow: Flow, sampler: str, steps: int) -> Flow:
    """Return the same networks with other options of the sampler."""
    changed = copy.copy(flow)
    changed.config = flow.config.model_copy(update={"sampler": sampler, "steps": steps})
    return changed


def made(
    flow: Flow, labels: NDArray[np.int64], address: tuple[str | int, ...], domains: NDArray[np.int64] | None = None
) -> NDArray[np.uint8]:
    """Make a tile of each label, of the noise at an address: the same whatever the sampler."""
    return flow.sample(labels, torch_stream(0, "looks", *address), domains)


def about(trained: Trained) -> str:
    """Say what a training took."""
    return f"{trained.steps:,} steps, {trained.seconds:.0f} CPU seconds"


def _loaded(path: Path, config: ExperimentConfig, store: TileStore, same: dict[str, str]) -> Trained | None:
    if not path.is_file():
        return None
    with safe_open(path, framework="numpy") as kept:
        told, arrays = kept.metadata(), {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
    if any(told[name] != value for name, value in same.items()):
        return None
    shape = TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))
    flow = task_of(config).make(config, shape, "cpu")
    flow.load(arrays)
    seconds, steps = json.loads(told["trained"])
    return Trained(config, flow, seconds, steps)
