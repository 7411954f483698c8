import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedray.config import DataConfig, EvaluationConfig
from fedray.data import Tile, TileStore, open_store, write_store
from fedray.evaluation import Evaluator
from tests.support.once import made_once

CONFIG = EvaluationConfig(num_samples=256)
MakeStore = Callable[..., TileStore]


@pytest.fixture(scope="session")
def store(cache: Path) -> TileStore:
    return open_store(DataConfig())


@pytest.fixture(scope="session")
def evaluator(store: TileStore, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    folder = cache / "evaluation" / store.fingerprint

    def make(copy: Path) -> None:
        Evaluator.prepare(store, CONFIG)
        shutil.copytree(folder, copy)

    shutil.copytree(made_once(tmp_path_factory, "evaluation", make), folder, dirs_exist_ok=True)
    return Evaluator.prepare(store, CONFIG)


@pytest.fixture
def make_store(store: TileStore, tmp_path: Path) -> MakeStore:
    """Write a small store of colon tiles: so many of each label in each split."""

    def make(label_counts: dict[str, tuple[int, int]], size: int = 32, seed: int = 0) -> TileStore:
        rng = np.random.default_rng(seed)
        tiles = []
        for label, counts in enumerate(label_counts.values()):
            for split, count in zip(("train", "test"), counts, strict=True):
                indices = store.indices(split)
                pool = indices[store.labels[indices] == label % len(store.label_names)]
                for image in store.tiles(rng.choice(pool, count, replace=True)):
                    repeats = -(-size // 32)
                    image = np.tile(image, (repeats, repeats, 1))[:size, :size]
                    tiles.append(Tile(image, label, 0, split, split, "colon"))
        return write_store(tmp_path / f"store-{size}-{seed}-{len(tiles)}", tiles, label_names=list(label_counts))

    return make


@pytest.fixture(scope="session")
def real(store: TileStore, evaluator: Evaluator) -> np.ndarray:
    """Real training tiles, uint8 [n, H, W, C], one for each of the evaluator's labels."""
    rng = np.random.default_rng(7)
    train = store.indices("train")
    pools = {label: list(rng.permutation(train[store.labels[train] == label])) for label in np.unique(evaluator.labels)}
    return store.tiles(np.array([pools[label].pop() for label in evaluator.labels]))
