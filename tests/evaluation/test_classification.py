"""Scores of a classifier against scikit-learn called directly, and their intervals against a plain bootstrap."""

import warnings

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    classification_report,
    f1_score,
    roc_auc_score,
)

from fedray.evaluation import EvaluationError
from fedray.evaluation.classification import (
    KINDS,
    absent_labels,
    classification_names,
    classification_scores,
    confusion,
    majority_scores,
    mean_scores,
    told_by,
)
from fedray.evaluation.confusion import draw_confusion

NAMES = ["gland", "stroma", "fat"]


def told(num=90, num_labels=3, skill=1.0, seed=0, labels=None):
    random = np.random.default_rng(seed)
    labels = (
        random.choice(num_labels, num, p=[0.6, *[0.4 / (num_labels - 1)] * (num_labels - 1)])
        if labels is None
        else labels
    )
    logits = random.normal(0, 1, (len(labels), num_labels)) + skill * np.eye(num_labels)[labels]
    return told_by(logits.astype(np.float32), labels)


def bare(scores):
    return {name: value for name, value in scores.items() if KINDS[name.partition("/")[0]] is not None}


@pytest.mark.parametrize(("num_labels", "skill"), [(2, 1.0), (3, 0.0), (3, 2.0), (3, 50.0)])
def test_scores_are_scikit_learns(num_labels, skill):
    found, names = told(num_labels=num_labels, skill=skill), NAMES[:num_labels]
    labels, answers, shares = found.labels, found.probabilities.argmax(1), found.probabilities
    scores = bare(classification_scores(found, names, "test"))
    area = roc_auc_score(labels, shares[:, 1]) if num_labels == 2 else roc_auc_score(labels, shares, multi_class="ovr")
    report = classification_report(labels, answers, output_dict=True, zero_division=0)
    expected = {
        "balanced-accuracy/test/90": balanced_accuracy_score(labels, answers),
        "macro-f1/test/90": f1_score(labels, answers, average="macro"),
        "auroc/test/90": area,
        **{f"recall/test/90/label/{name}": report[str(label)]["recall"] for label, name in enumerate(names)},
        "accuracy/test/90": accuracy_score(labels, answers),
    }
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected)


def test_a_label_without_a_tile_is_named_and_counts_in_no_score():
    """The one of the three is answered all the same, wrongly."""
    labels = np.array([0, 0, 0, 2, 2, 2])
    logits = np.array([[3, 0, 0], [-1, 3, 0], [3, 0, 0], [0, 0, 3], [0, 0, 3], [0, 3, -1]], np.float32)
    found = told_by(logits, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = bare(classification_scores(found, NAMES, "test"))
    assert absent_labels(labels, NAMES) == ["stroma"]
    assert not any("stroma" in name for name in scores)
    assert scores["balanced-accuracy/test/6"] == pytest.approx(2 / 3)
    assert scores["macro-f1/test/6"] == pytest.approx(0.8)  # precision 1, recall 2/3, both times
    assert scores["auroc/test/6"] == pytest.approx(2 / 3)  # the one that is missed ranks below all others, both times
    assert all(np.isfinite(list(scores.values())))


@pytest.mark.parametrize(("labels", "what"), [([1, 1], "only 'stroma'"), ([], "no tile")])
def test_a_split_that_cannot_tell_anything_is_refused(labels, what):
    with pytest.raises(
        EvaluationError, match=rf"at least two labels, but the test split has {what}; .*evaluation\.split"
    ):
        classification_scores(told(labels=np.array(labels, np.int64)), NAMES, "test")


def test_the_trivial_row_is_scikit_learns_dummy():
    train, test = np.array([1, 1, 0, 2]), told().labels
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((4, 1)), train)
    answers, shares = dummy.predict(np.zeros((90, 1))), dummy.predict_proba(np.zeros((90, 1)))
    scores = majority_scores(test, 1, NAMES, "test")
    assert scores["balanced-accuracy/test/90"] == pytest.approx(balanced_accuracy_score(test, answers)) == 1 / 3
    assert scores["macro-f1/test/90"] == pytest.approx(f1_score(test, answers, average="macro"))
    assert scores["auroc/test/90"] == roc_auc_score(test, shares, multi_class="ovr") == 0.5
    assert scores["accuracy/test/90"] == pytest.approx(accuracy_score(test, answers))
    assert [scores[f"recall/test/90/label/{name}"] for name in NAMES] == [0, 1, 0]
    assert list(scores) == list(bare(classification_scores(told(), NAMES, "test")))


def test_names_say_protocol_and_interval():
    names = classification_names(np.array([0, 2]), NAMES, "train")
    assert names[:3] == ["balanced-accuracy/train/2", "balanced-accuracy-low/train/2", "balanced-accuracy-high/train/2"]
    assert "recall-low/train/2/label/fat" in names
    assert {name.partition("/")[0] for name in names} == {kind for kind in KINDS if not kind.startswith("worst")}


def test_intervals_are_those_of_a_plain_bootstrap():
    """Draws of tiles, label by label, each scored by scikit-learn."""
    found = told(num=120)
    scores = classification_scores(found, NAMES, "test")
    random, drawn = np.random.default_rng(1), []
    for _ in range(150):
        places = np.concatenate([random.choice(own := np.flatnonzero(found.labels == c), len(own)) for c in range(3)])
        labels, shares = found.labels[places], found.probabilities[places]
        answers = shares.argmax(1)
        drawn.append(
            (
                balanced_accuracy_score(labels, answers),
                f1_score(labels, answers, average="macro"),
                roc_auc_score(labels, shares, multi_class="ovr"),
                accuracy_score(labels, answers),
            )
        )
    for kind, column in zip(("balanced-accuracy", "macro-f1", "auroc", "accuracy"), np.array(drawn).T, strict=True):
        ends = [scores[f"{kind}-{end}/test/120"] for end in ("low", "high")]
        np.testing.assert_allclose(ends, np.percentile(column, [2.5, 97.5]), atol=0.03)
        assert ends[0] <= scores[f"{kind}/test/120"] <= ends[1]


def test_confusion_counts_every_tile_once():
    found = told()
    counts = confusion(found)
    by_hand = np.zeros((3, 3), int)
    for label, answer in zip(found.labels, found.answers, strict=True):
        by_hand[label, answer] += 1
    np.testing.assert_array_equal(counts, by_hand)


def test_the_picture_says_numbers_shares_and_names_as_they_are():
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])
    names = ["$x^2$", "b", "c_d"]
    figure = draw_confusion(counts, names, "round $3$")
    axes = figure.axes[0]
    cells = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "8\n80%" and cells[0, 1] == "2\n20%" and cells[2, 2] == "3\n75%" and cells[1, 1] == "0"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["$x^2$", "b (no tile)", "c_d"]
    assert not any(tick.get_parse_math() for tick in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title))
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0, 0.75]])
    many = draw_confusion(np.eye(40, dtype=int), [str(label) for label in range(40)], "many")
    assert not many.axes[0].texts, "numbers would not be legible"


def test_several_classifiers_are_given_the_same_draws_of_tiles():
    """One is right exactly where the other is wrong: their mean is a half on every draw, and its interval a point."""
    labels = np.repeat([0, 1], 10)
    right = np.arange(20) % 3 > 0
    answers = [np.where(which, labels, 1 - labels) for which in (right, ~right)]
    several = [told_by(np.eye(2, dtype=np.float32)[each], labels) for each in answers]
    found, alone = mean_scores(several, ["a", "b"], "test"), classification_scores(several[0], ["a", "b"], "test")
    for end in ("", "-low", "-high"):
        assert found[f"balanced-accuracy{end}/test/20"] == pytest.approx(0.5)
    assert alone["balanced-accuracy-low/test/20"] < alone["balanced-accuracy-high/test/20"]
    assert mean_scores([several[0]] * 3, ["a", "b"], "test") == pytest.approx(alone)
