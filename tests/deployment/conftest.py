"""Four sites with four stores, and the same tiles in one store for a simulation of them."""

import pytest

from fedray.config import override
from fedray.data import Tile, client_partition, write_store
from fedray.testing import small_experiment
from tests.support.small import random_tiles

NAMES = ("charite", "mitte", "nord", "west")
LABELS = ("bright", "dark")


def entries(store, indices, names):
    for index in indices:
        label, split = store.label_names[store.labels[index]], "train" if index in store.indices("train") else "test"
        yield Tile(store.tiles([index])[0], names.index(label), 0, f"g{index}", split, "test")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """All tiles in one store, labels in the order that the sites agree upon."""
    tiles = (tile._replace(label=1 - tile.label) for tile in random_tiles(128))
    return write_store(tmp_path_factory.mktemp("whole") / "store", tiles, label_names=LABELS)


@pytest.fixture(scope="session")
def simulated(whole):
    """The experiment in one process, on the partition that the sites have."""
    values = {
        "data.store": str(whole.path), "partition.scheme": "dirichlet", "partition.alpha": 1.0,
        "federation.num_clients": 4, "federation.num_rounds": 3, "federation.local_steps": 1,
        "federation.aggregate": "both", "evaluation.every": 3, "evaluation.num_samples": None,
    }  # fmt: skip
    return small_experiment(values)


@pytest.fixture(scope="session")
def stores(whole, simulated, tmp_path_factory):
    """A store a site: one files its labels the other way round, and test tiles are dealt out evenly."""
    folder, found = tmp_path_factory.mktemp("stores"), {}
    for number, (name, share) in enumerate(zip(NAMES, client_partition(simulated).clients, strict=True)):
        names = LABELS[::-1] if name == "mitte" else LABELS
        mine = [*share.tolist(), *whole.indices("test")[number::4].tolist()]
        present = [label for label in names if label in {whole.label_names[whole.labels[index]] for index in mine}]
        found[name] = write_store(folder / name, entries(whole, mine, present), label_names=present).path
    return found


@pytest.fixture(scope="session")
def on_sites(simulated):
    """The same experiment, for sites."""
    values = {"data.store": "sites", "partition.scheme": "iid", "partition.alpha": 0.5, "data.tile_size": None}
    return override(simulated, {**values, "data.num_domains": None}, source="the test").resolved()
