from pathlib import Path

import numpy as np
import pytest

from fedray.config import DataConfig
from fedray.data import Tile, TileStore, open_store, write_store


@pytest.fixture(scope="session")
def colon(cache: Path) -> TileStore:
    return open_store(DataConfig(num_domains=3))


@pytest.fixture
def tiles() -> list[Tile]:
    """10 random tiles of 16 px: 2 labels, 2 domains, 5 groups, the last 4 of them test tiles."""
    rng = np.random.default_rng(0)
    return [
        Tile(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), i % 2, i // 5, f"p{i // 2}",
             "test" if i >= 6 else "train", f"{i}.png")
        for i in range(10)
    ]  # fmt: skip


@pytest.fixture
def store(tiles: list[Tile], tmp_path: Path) -> TileStore:
    """The tiles on disk, in record batches of 4."""
    names = {"label_names": ["a", "b"], "domain_names": ["x", "y"]}
    return write_store(tmp_path / "store", tiles, **names, source="noise", batch_rows=4)
