from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.config import DataConfig
from fedray.data import Tile, TileStore, open_store, write_store

COLORECTAL = Path(__file__).parents[2].parent / "shared" / "data" / "colorectal-tiles"
WriteImages = Callable[..., Path]


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


@pytest.fixture
def write_images(tmp_path: Path) -> WriteImages:
    """Write noise images of 20 x 24 px: so many in each folder."""

    def write(counts: dict[str, int], root: str = "images") -> Path:
        rng = np.random.default_rng(0)
        for folder, count in counts.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / root / folder / f"{i}.png")
        return tmp_path / root

    return write


@pytest.fixture
def colorectal() -> Path:
    """Real tiles that are not part of the project."""
    if not COLORECTAL.is_dir():
        pytest.skip(f"needs the colorectal tiles in {COLORECTAL}")
    return COLORECTAL
