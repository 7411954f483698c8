"""Judging who says labels: of a split's tiles, and of those that the clients hold back."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import TileStore, client_partition, local_store, partitioned_store, tile_shape
from fedray.evaluation import Scores
from fedray.evaluation.classification import (
    absent_labels,
    check_several_labels,
    classification_names,
    classification_scores,
    confusion,
    majority_scores,
    told_by,
)
from fedray.experiment.judging.base import Evaluation, Heading, Judge
from fedray.learning import Arrays, training_device
from fedray.results.files import CONFUSION
from fedray.results.pictures import Preview
from fedray.tasks import Classifier, task_of
from fedray.tasks.classification import cross_entropy, split_validation

FILES = (CONFUSION,)
BESIDE = ("always the", "majority label")
RUNS = "classifiers"


@dataclass(frozen=True)
class TrivialRow:
    """What stands beside a classifier's scores: those of who always answers the training tiles' majority label.

    No extractor judges, and none is tested.
    """

    floor: Scores
    label: str
    """That label."""
    extractor: None = None
    quality: None = None
    self_test: None = None


def check(config: ExperimentConfig, store: TileStore) -> None:
    """Refuse a split whose tiles all have one label."""
    check_several_labels(_labels(config, store), store.label_names, config.evaluation.split)


def settled(config: ExperimentConfig, store: TileStore) -> Mapping[str, Any]:
    """Return nothing: all tiles of the split are judged as they are."""
    return {}


def score_names(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Name the scores of a classifier."""
    return classification_names(_labels(config, store), store.label_names, config.evaluation.split)


def notes(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Say which labels no tile of the split has."""
    absent, split = absent_labels(_labels(config, store), store.label_names), config.evaluation.split
    if not absent:
        return []
    named = ", ".join(map(repr, absent))
    return [f"no tile of the {split} split has the label(s) {named}: they count in no score, and have no recall"]


def trivial_row(config: ExperimentConfig) -> TrivialRow:
    """Score who always answers the label that most training tiles of the experiment have.

    Raises:
        EvaluationError: The split has tiles of fewer than two labels.
    """
    store = local_store(config.data)
    check(config, store)
    trained_on = store.labels[np.concatenate(client_partition(config).clients)]
    majority = int(np.bincount(trained_on, minlength=len(store.label_names)).argmax())
    floor = majority_scores(_labels(config, store), majority, store.label_names, config.evaluation.split)
    return TrivialRow(floor, store.label_names[majority])


def prepare(config: ExperimentConfig) -> tuple[Judge, Mapping[str, bytes]]:
    """Score the trivial answer; no other machine needs it."""
    return trivial_row(config), {}


def evaluate(config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
    """Let the classifier of a round judge the split's tiles; the preview is its confusion matrix."""
    started = time.monotonic()
    store, device = local_store(config.data), training_device(config.resources)
    classifier: Classifier = task_of(config).holding(config, tile_shape(config.data), device, arrays)
    told = told_by(classifier.logits(store.tiles(store.indices(config.evaluation.split))), _labels(config, store))
    scores = classification_scores(told, store.label_names, config.evaluation.split)
    validation = None
    if config.classification.patience is not None:
        tiles, held = _held_back(config)
        validation = cross_entropy(classifier.logits(tiles), held)
    return Evaluation(scores, confusion(told), time.monotonic() - started, validation)


def preview(config: ExperimentConfig, arrays: Arrays) -> Preview | None:
    """Show nothing: what an untrained classifier says shows nothing."""
    return None


def heading(config: ExperimentConfig) -> Heading:
    """Say what stands above the final scores."""
    return Heading(f"Scores of {config.family.subject}", "classifier", f"always {trivial_row(config).label!r}")


def _labels(config: ExperimentConfig, store: TileStore) -> NDArray[np.int64]:
    """Labels, int64 [n], of the tiles that a classifier is judged by: all of the split."""
    return store.labels[store.indices(config.evaluation.split)].astype(np.int64)


@lru_cache(maxsize=1)
def _held_back(config: ExperimentConfig) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Tiles and labels of all clients that validate."""
    source, settings = partitioned_store(config), config.classification
    held = [
        split_validation(source.tiles(client), settings, config.seed, client)[1] for client in range(config.num_clients)
    ]
    return np.concatenate([part.tiles for part in held]), np.concatenate([part.labels for part in held])
