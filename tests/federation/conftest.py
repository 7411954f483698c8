import numpy as np
import pytest

from fedray.config import ExperimentConfig, override
from fedray.data import write_store
from fedray.data.store import Tile

SMALL = {
    "gan.latent_dim": 8,
    "gan.generator_channels": 8,
    "gan.discriminator_channels": 8,
    "gan.batch_size": 8,
    "gan.n_critic": 2,
    "federation.num_clients": 2,
    "federation.num_rounds": 2,
    "evaluation.num_samples": 16,
    "resources.device": "cpu",
}


def random_tiles(num=40, size=16):
    """Yield dark tiles labelled 0 and bright ones labelled 1, every fourth one for testing."""
    random = np.random.default_rng(0)
    for index in range(num):
        label = index % 2
        pixels = random.integers(0, 128, (size, size, 3), dtype=np.uint8) + np.uint8(127 * label)
        split = "test" if index % 4 >= 2 else "train"
        yield Tile(pixels, label=label, domain=0, group=f"g{index}", split=split, source=f"tile {index}")


@pytest.fixture(scope="session")
def small_store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("stores") / "small", random_tiles(), label_names=["dark", "bright"])


@pytest.fixture
def small_config(small_store):
    def make(**changes):
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        return override(ExperimentConfig(), {**SMALL, "data.store": str(small_store.path), **dotted}, "test")

    return make
