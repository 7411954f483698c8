"""Judging who says labels: of a split's tiles, of a domain that nobody trains on, and of what clients hold back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import TileStore, client_partition, external_store, local_store, partitioned_store, tile_shape
from fedray.evaluation import EvaluationError, Scores
from fedray.evaluation.cells import MIN_CELL_TILES, Cells
from fedray.evaluation.classification import (
    absent_labels,
    check_several_labels,
    classification_names,
    confusion,
    majority_scores,
    mean_scores,
    told_by,
)
from fedray.experiment.judging.base import Evaluation, Heading, Judge
from fedray.federation import JUDGED_STORES, FederationState, logits_from_clients
from fedray.learning import Arrays, training_device
from fedray.results.files import CONFUSION
from fedray.results.pictures import Preview
from fedray.tasks import Classifier, task_of
from fedray.tasks.classification import cross_entropy, split_validation

FILES = (CONFUSION,)
BESIDE = ("always the", "majority label")
RUNS = "classifiers"

Answers = Sequence[Sequence[NDArray[Any]]]
"""Logits, float32 [n, num_labels], by classifier: of the split's tiles, then of those that are held out, if any are."""


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
    """Refuse tiles of fewer than two labels: all of the split, or those of it that are held out."""
    split = config.evaluation.split
    check_several_labels(store.labels[store.indices(split)], store.label_names, split)
    external = external_store(config.data)
    if external is None:
        return
    found = np.unique(external.labels[external.indices(split)]).tolist()
    if len(found) < 2:
        what = f"are all {store.label_names[found[0]]!r}" if found else "are none"
        raise EvaluationError(
            f"data.held_out_domain {config.data.held_out_domain!r} is no external test, which needs tiles of at least "
            f"two labels: those of its {split} split {what}; hold out another domain, make the store with others in "
            "that split, or set evaluation.split to the other one"
        )


def settled(config: ExperimentConfig, store: TileStore) -> Mapping[str, Any]:
    """Return nothing: all tiles of the split are judged as they are."""
    return {}


def score_names(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Name the scores of a classifier: of the split, of its domains and cells, and of the domain that is held out."""
    return [name for judged in _judged(config, store) for name in judged.names()]


def notes(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Say which labels no tile has, which cells have too few, and what is an external test."""
    told = []
    for judged in _judged(config, store):
        cells = judged.cells
        if absent := absent_labels(cells.labels, store.label_names):
            named = ", ".join(map(repr, absent))
            told.append(
                f"no tile of the {cells.split} split has the label(s) {named}: they count in no score, and have no "
                "recall"
            )
        if few := cells.too_few():
            told.append(
                f"cells with fewer than {MIN_CELL_TILES} tiles of the {cells.split} split have no say in "
                f"worst-cell-recall: {', '.join(few)}"
            )
    if (external := external_store(config.data)) is not None:
        told.append(
            f"the domain {config.data.held_out_domain!r} is held out: none of its {len(external):,} tiles is trained "
            f"on, and its {len(external.indices(config.evaluation.split)):,} of the {config.evaluation.split} split "
            f"are the {_external_name(config)} test"
        )
    return told


def trivial_row(config: ExperimentConfig) -> TrivialRow:
    """Score who always answers the label that most training tiles of the experiment have.

    Raises:
        EvaluationError: The split, or what is held out, has tiles of fewer than two labels.
    """
    store = local_store(config.data)
    check(config, store)
    trained_on = store.labels[np.concatenate(client_partition(config).clients)]
    majority = int(np.bincount(trained_on, minlength=len(store.label_names)).argmax())
    floor: Scores = {}
    for judged in _judged(config, store):
        cells = judged.cells
        floor |= majority_scores(cells.labels, majority, store.label_names, cells.split)
        floor |= cells.majority_scores(majority)
    return TrivialRow(floor, store.label_names[majority])


def prepare(config: ExperimentConfig) -> tuple[Judge, Mapping[str, bytes]]:
    """Score the trivial answer; no other machine needs it."""
    return trivial_row(config), {}


def evaluate(config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
    """Let the classifier of a round judge all tiles; the preview is its confusion matrix on those of the split."""
    started = time.monotonic()
    store, device = local_store(config.data), training_device(config.resources)
    classifier: Classifier = task_of(config).holding(config, tile_shape(config.data), device, arrays)
    found = evaluate_answers(
        config, [[classifier.logits(each.store.tiles(each.indices)) for each in _judged(config, store)]]
    )
    validation = None
    if config.classification.patience is not None:
        tiles, held = _held_back(config)
        validation = cross_entropy(classifier.logits(tiles), held)
    return replace(found, seconds=time.monotonic() - started, validation=validation)


def ask_clients(grid: Grid, config: ExperimentConfig, state: FederationState) -> Answers:
    """Let every client's own classifier judge all tiles."""
    judged = _judged(config, local_store(config.data))
    wanted = dict(zip(JUDGED_STORES, (each.indices for each in judged), strict=False))
    answers = logits_from_clients(grid, config, state, wanted)
    return [[logits[name] for name in wanted] for logits in answers]


def evaluate_answers(config: ExperimentConfig, answers: Answers) -> Evaluation:
    """Score what classifiers said: means over them, in which each counts once.

    The preview counts the answers of all of them for the split's tiles.
    """
    started, store, scores = time.monotonic(), local_store(config.data), Scores()
    judged = _judged(config, store)
    told = [
        [told_by(logits, each.cells.labels) for logits in said]
        for each, said in zip(judged, zip(*answers, strict=True), strict=True)
    ]
    for each, several in zip(judged, told, strict=True):
        scores |= mean_scores(several, store.label_names, each.cells.split) | each.cells.scores(*several)
    return Evaluation(scores, np.sum([confusion(one) for one in told[0]], axis=0), time.monotonic() - started)


def preview(config: ExperimentConfig, arrays: Arrays) -> Preview | None:
    """Show nothing: what an untrained classifier says shows nothing."""
    return None


def heading(config: ExperimentConfig) -> Heading:
    """Say what stands above the final scores."""
    judged = "mean of the clients'" if config.federation.personal else "classifier"
    return Heading(f"Scores of {config.family.subject}", judged, f"always {trivial_row(config).label!r}")


class _Judged(NamedTuple):
    """Tiles that a classifier is judged by."""

    store: TileStore
    indices: NDArray[np.int64]
    """In the store."""
    cells: Cells

    def names(self) -> list[str]:
        """Name the scores."""
        return [*classification_names(self.cells.labels, self.cells.label_names, self.cells.split), *self.cells.names()]


def _judged(config: ExperimentConfig, store: TileStore) -> list[_Judged]:
    """Return all tiles of the split, and those of the domain that is held out, where one is."""
    external = external_store(config.data)
    sets = {config.evaluation.split: store} | ({_external_name(config): external} if external is not None else {})
    return [_judged_in(each, config.evaluation.split, name) for name, each in sets.items()]


def _external_name(config: ExperimentConfig) -> str:
    return "external" if config.evaluation.split == "test" else f"external-{config.evaluation.split}"


def _judged_in(store: TileStore, split: str, name: str) -> _Judged:
    indices = store.indices(split)
    labels, domains = store.labels[indices].astype(np.int64), store.domains[indices].astype(np.int64)
    return _Judged(store, indices, Cells(labels, domains, store.label_names, store.domain_names, name))


@lru_cache(maxsize=1)
def _held_back(config: ExperimentConfig) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Tiles and labels of all clients that validate."""
    source, settings = partitioned_store(config), config.classification
    held = [
        split_validation(source.tiles(client), settings, config.seed, client)[1] for client in range(config.num_clients)
    ]
    return np.concatenate([part.tiles for part in held]), np.concatenate([part.labels for part in held])
