"""Scores of a classifier: balanced accuracy, macro-F1, AUROC, recall of each label and accuracy, with intervals.

scikit-learn does the sums. Accuracy never stands alone: where most tiles have one label, answering nothing else is
accurate. So balanced accuracy leads, and what that answer scores (:func:`majority_scores`) stands beside all.

A label without a tile in the split counts in no mean and has no recall: :func:`absent_labels` names it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.intervals import LEVEL
from fedray.evaluation.metrics.base import Mode, Scores
from fedray.randomness import stream

MEANS = ("balanced-accuracy", "macro-f1", "auroc")
"""First parts of the names of the scores that are means over labels, the leading one first."""
OF_LABEL, OF_ALL = "recall", "accuracy"
WORST = "worst-cell-recall"
"""Of the cells, the pairs of a label and a domain (:mod:`fedray.evaluation.cells`)."""
_GOOD: Mode = "max"
KINDS: dict[str, Mode | None] = {
    f"{kind}{end}": None if end else _GOOD
    for kind in (*MEANS, OF_LABEL, OF_ALL, WORST)
    for end in ("", "-low", "-high")
}
"""First parts of the names of all scores, and which values are good; None: an end of an interval."""

NUM_RESAMPLES = 400
"""Draws of the bootstrap."""


class Told(NamedTuple):
    """What a classifier says of the tiles of a split."""

    labels: NDArray[np.int64]
    """[n], the true ones."""
    probabilities: NDArray[np.float64]
    """[n, num_labels], rows sum to 1."""

    @property
    def answers(self) -> NDArray[np.int64]:
        """The label that each tile is taken for, [n]; of equally probable ones the first."""
        answers: NDArray[np.int64] = self.probabilities.argmax(1)
        return answers

    @property
    def present(self) -> list[int]:
        """Labels that some tile has, ascending."""
        found: list[int] = np.unique(self.labels).tolist()
        return found


def told_by(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Told:
    """Say what logits [n, num_labels] tell of tiles with these labels, [n]."""
    from scipy.special import softmax

    return Told(labels.astype(np.int64), softmax(logits.astype(np.float64), axis=1))


def classification_scores(told: Told, label_names: Sequence[str], split: str) -> Scores:
    """Score a classifier, each score with the ends of its interval.

    The interval is what another draw of as many tiles of each label would score with the same network, 95 times of 100
    (bootstrap within labels, percentiles). It says nothing about another training, nor about patients of whom several
    tiles look alike.

    Args:
        told: What it says.
        label_names: By label.
        split: That the tiles are of, for the names.

    Returns:
        By name, ``<kind>/<split>/<n>`` or ``recall/<split>/<n>/label/<label>``, as :func:`classification_names` lists.

    Raises:
        EvaluationError: All tiles have one label, so that nothing is told apart.
    """
    return mean_scores([told], label_names, split)


def mean_scores(several: Sequence[Told], label_names: Sequence[str], split: str) -> Scores:
    """Average the scores of several classifiers of the same tiles, each of which counts once.

    The interval is what their mean would score on another draw of tiles: all are given the same draws. That other
    classifiers would be others is not in it.

    Args:
        several: What each says, at least one.
        label_names: By label.
        split: That the tiles are of, for the names.

    Returns:
        As of :func:`classification_scores`.

    Raises:
        EvaluationError: As of :func:`classification_scores`.
    """
    labels = several[0].labels
    check_several_labels(labels, label_names, split)
    values = np.mean([_values(told) for told in several], axis=0)
    draws = np.mean([_bootstrap(told) for told in several], axis=0)
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    names = classification_names(labels, label_names, split)
    together = np.stack([values, low, high], axis=1).ravel()
    return dict(zip(names, together.tolist(), strict=True))


def classification_names(labels: NDArray[np.int64], label_names: Sequence[str], split: str) -> list[str]:
    """Name the scores of a split whose tiles have these labels, int64 [n], in the order in which they are listed."""
    tail = f"{split}/{len(labels)}"
    recalls = [(OF_LABEL, f"{tail}/label/{label_names[label]}") for label in np.unique(labels)]
    scores = [*((kind, tail) for kind in MEANS), *recalls, (OF_ALL, tail)]
    return [f"{kind}{end}/{rest}" for kind, rest in scores for end in ("", "-low", "-high")]


def majority_scores(labels: NDArray[np.int64], majority: int, label_names: Sequence[str], split: str) -> Scores:
    """Score who always answers one label, the same names without intervals: the trivial row.

    Args:
        labels: Of the split, [n] int64.
        majority: Of the training tiles: what the split itself has most of is not known before.
        label_names: By label.
        split: For the names.
    """
    always = np.zeros((len(labels), len(label_names)))
    always[:, majority] = 1.0
    names = classification_names(labels, label_names, split)[::3]
    return dict(zip(names, _values(Told(labels.astype(np.int64), always)), strict=True))


def absent_labels(labels: NDArray[np.int64], label_names: Sequence[str]) -> list[str]:
    """Name the labels that none of these tiles, int64 [n], has: no score counts them."""
    return [name for label, name in enumerate(label_names) if label not in labels]


def check_several_labels(labels: NDArray[np.int64], label_names: Sequence[str], split: str) -> None:
    """Refuse a split in which nothing can be told apart.

    Raises:
        EvaluationError: It has tiles of fewer than two labels.
    """
    found = [label_names[label] for label in np.unique(labels)]
    if len(found) < 2:
        what = f"only {found[0]!r}" if found else "no tile"
        raise EvaluationError(
            f"a classifier is scored on tiles of at least two labels, but the {split} split has {what}; make the store "
            "with tiles of others in that split, or set evaluation.split to the other one"
        )


def confusion(told: Told) -> NDArray[np.int64]:
    """Count tiles by true label (row) and answer (column), [num_labels, num_labels]."""
    from sklearn.metrics import confusion_matrix

    num_labels = told.probabilities.shape[1]
    counts: NDArray[np.int64] = confusion_matrix(told.labels, told.answers, labels=np.arange(num_labels))
    return counts


def _values(told: Told) -> list[float]:
    """Compute the scores, in the order of their names."""
    from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

    labels, answers, present = told.labels, told.answers, told.present
    recalls = recall_score(labels, answers, labels=present, average=None, zero_division=0.0)
    f1 = f1_score(labels, answers, labels=present, average="macro", zero_division=0.0)
    # One label against the rest after another: over all at once, scikit-learn refuses a split that lacks a label.
    areas = [roc_auc_score(labels == label, told.probabilities[:, label]) for label in present]
    means = [float(np.mean(recalls)), float(f1), float(np.mean(areas))]
    return [*means, *map(float, recalls), float(accuracy_score(labels, answers))]


def _bootstrap(told: Told) -> NDArray[np.float64]:
    """Compute the scores of draws with replacement, label by label, [draw, score]."""
    random, present = stream(0, "classification-bootstrap"), told.present
    weights = np.zeros((NUM_RESAMPLES, len(told.labels)))
    for label in present:
        own = np.flatnonzero(told.labels == label)
        weights[:, own] = random.multinomial(len(own), np.full(len(own), 1 / len(own)), NUM_RESAMPLES)
    counts = np.array([(told.labels == label).sum() for label in present])
    right = np.stack([weights @ ((told.labels == label) & (told.answers == label)) for label in present], 1)
    answered = np.stack([weights @ (told.answers == label) for label in present], 1)
    recalls, f1 = right / counts, 2 * right / (counts + answered)  # F1 of precision and recall, written out
    areas = np.stack([_areas(told.labels == label, told.probabilities[:, label], weights) for label in present], 1)
    means = [values.mean(1, keepdims=True) for values in (recalls, f1, areas)]
    return np.concatenate([*means, recalls, right.sum(1, keepdims=True) / len(told.labels)], axis=1)


def _areas(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Areas under the ROC curve of weighted tiles, [draw], as pairs in the right order; a tie is half a pair.

    Args:
        positive: [n].
        scores: [n].
        weights: [draw, n].
    """
    values, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    of_positive, of_negative = (
        np.add.reduceat((weights * chosen)[:, order], starts, axis=1) for chosen in (positive, ~positive)
    )
    below = of_negative.cumsum(1) - of_negative / 2
    pairs = of_positive.sum(1) * of_negative.sum(1)
    areas: NDArray[np.float64] = (of_positive * below).sum(1) / pairs
    return areas
