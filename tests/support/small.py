"""A small experiment that finishes in seconds, and what its tests are given."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fedray.data import Tile

WriteImages = Callable[..., Path]
"""``write_images({folder: number}, root=...)``, a fixture: returns the folder above them."""

NewDatabase = Callable[[Path], str]
"""``new_database(folder)``, a fixture: returns the address."""

Touch = Callable[[Iterable[str]], Path]
"""``touch(paths)``: returns the folder above them; a path that ends in a slash is a folder."""

SMALL: dict[str, Any] = {
    "gan.latent_dim": 8,
    "gan.generator_channels": 8,
    "gan.discriminator_channels": 8,
    "gan.batch_size": 8,
    "gan.n_critic": 2,
    "federation.num_clients": 2,
    "federation.num_rounds": 2,
    "federation.local_epochs": 1,
    "evaluation.num_samples": 16,
    "resources.device": "cpu",
}
"""Config paths and values, over the defaults."""


def random_tiles(num: int = 40, size: int = 16, seed: int = 0) -> Iterator[Tile]:
    """Yield dark tiles labelled 0 and bright ones labelled 1, half of each for testing."""
    random = np.random.default_rng(seed)
    for index in range(num):
        label = index % 2
        pixels = random.integers(0, 128, (size, size, 3), dtype=np.uint8) + np.uint8(127 * label)
        split = "test" if index % 4 >= 2 else "train"
        yield Tile(pixels, label=label, domain=0, group=f"g{index}", split=split, source=f"tile {index}")
