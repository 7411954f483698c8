"""Judging one round's classifier: what it says of a split's tiles, and of those that the clients hold back."""

import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import TileStore, client_partition, local_store, partitioned_store, tile_shape
from fedray.evaluation import Evaluator, Scores, score_names
from fedray.evaluation.classification import (
    absent_labels,
    check_several_labels,
    classification_names,
    classification_scores,
    confusion,
    majority_scores,
    told_by,
)
from fedray.experiment.evaluate import Evaluation
from fedray.learning import Arrays, training_device
from fedray.tasks import task_of
from fedray.tasks.classification import cross_entropy, split_validation


@dataclass(frozen=True)
class TrivialRow:
    """What stands beside a classifier's scores: those of who always answers the training tiles' majority label.

    It stands where a generator has its :class:`fedray.evaluation.Evaluator`; no extractor judges, and none is tested.
    """

    floor: Scores
    label: str
    """That label."""
    extractor: None = None
    quality: None = None
    self_test: None = None


Judge = Evaluator | TrivialRow
"""What an experiment is judged by, prepared before its first round."""


def trivial_row(config: ExperimentConfig) -> TrivialRow:
    """Score who always answers the label that most training tiles of the experiment have.

    Raises:
        EvaluationError: The split has tiles of fewer than two labels.
    """
    store = local_store(config.data)
    check_several_labels(split_labels(store, config), store.label_names, config.evaluation.split)
    trained_on = store.labels[np.concatenate(client_partition(config).clients)]
    majority = int(np.bincount(trained_on, minlength=len(store.label_names)).argmax())
    floor = majority_scores(split_labels(store, config), majority, store.label_names, config.evaluation.split)
    return TrivialRow(floor, store.label_names[majority])


def split_labels(store: TileStore, config: ExperimentConfig) -> NDArray[np.int64]:
    """Labels, int64 [n], of the tiles that a classifier is judged by: all of the split."""
    return store.labels[store.indices(config.evaluation.split)].astype(np.int64)


def names_of_scores(store: TileStore, config: ExperimentConfig) -> list[str]:
    """Name the scores that an evaluation of the experiment will give."""
    if config.task != "classification":
        return score_names(config.evaluation, store)
    return classification_names(split_labels(store, config), store.label_names, config.evaluation.split)


def absent_note(store: TileStore, config: ExperimentConfig) -> list[str]:
    """Say which labels no tile of the split has."""
    absent, split = absent_labels(split_labels(store, config), store.label_names), config.evaluation.split
    if not absent:
        return []
    named = ", ".join(map(repr, absent))
    return [f"no tile of the {split} split has the label(s) {named}: they count in no score, and have no recall"]


def evaluate_classifier(config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
    """Let the classifier of a round judge the split's tiles. Runs on a worker, so its arguments are plain values.

    Args:
        config: Of the experiment.
        round_index: Rounds done.
        arrays: All of the classifier's.

    Returns:
        The scores; as preview the confusion matrix, int64 [label, label].

    Raises:
        DivergedError: Its answers are not finite.
    """
    started = time.monotonic()
    store, device = local_store(config.data), training_device(config.resources)
    classifier = task_of(config).fresh(config, tile_shape(config.data), device, load_weights=False)
    classifier.load(arrays)
    labels = split_labels(store, config)
    told = told_by(classifier.logits(store.tiles(store.indices(config.evaluation.split))), labels)
    scores = classification_scores(told, store.label_names, config.evaluation.split)
    validation = None
    if config.classification.patience is not None:
        tiles, held = _held_back(config)
        validation = cross_entropy(classifier.logits(tiles), held)
    return Evaluation(scores, confusion(told), time.monotonic() - started, validation)


@lru_cache(maxsize=1)
def _held_back(config: ExperimentConfig) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Tiles and labels of all clients that validate."""
    source, settings = partitioned_store(config), config.classification
    held = [
        split_validation(source.tiles(client), settings, config.seed, client)[1] for client in range(config.num_clients)
    ]
    return np.concatenate([part.tiles for part in held]), np.concatenate([part.labels for part in held])
