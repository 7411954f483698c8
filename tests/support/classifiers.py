"""Small classifiers, and tiles that they can tell apart."""

import numpy as np

from fedray.config import ClassificationConfig, ExperimentConfig, override
from fedray.data import LabelledTiles, TileShape
from fedray.tasks.classification import Classifier

SHAPE = TileShape(size=16, channels=3, num_labels=3)
# One of each kind: of timm those that it keeps for tests, with 0.1 to 0.4 M parameters; one has BatchNorm.
NETWORKS = ["cnn", "test_vit", "test_efficientnet"]


def config(**fields):
    return ClassificationConfig(**{"channels": 8, "batch_size": 8, "augment": "none", **fields})


def classifier(shape=SHAPE, seed=0, **fields):
    return Classifier(config(**fields), shape, seed)


def tiles(num=12, shape=SHAPE, seed=0):
    """Tiles whose brightness is their label's, with noise; labels in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(num) % shape.num_labels
    light = 60 + 60 * labels[:, None, None, None]
    noise = random.integers(-30, 31, (num, shape.size, shape.size, shape.channels))
    return LabelledTiles((light + noise).astype(np.uint8), labels, np.zeros(num, np.int64))


def experiment(store, **changes):
    """A small federated experiment on a store: ``experiment(store, classification__lr=0.1)``."""
    small = {
        "task": "classification",
        "data.store": str(store.path),
        "classification.channels": 8,
        "classification.batch_size": 4,
        "classification.lr": 1e-2,
        "federation.num_clients": 2,
        "federation.num_rounds": 2,
        "federation.local_epochs": 1,
        "resources.device": "cpu",
    }
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return override(ExperimentConfig(), {**small, **dotted}, "test")
