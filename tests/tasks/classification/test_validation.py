"""Which tiles validate, their loss, and when a training has lost its patience."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from fedray.data import LabelledTiles
from fedray.experiment.stopping import best_evaluation, out_of_patience
from fedray.tasks.classification import cross_entropy, split_validation
from tests.support.classifiers import config


def client(labels):
    labels = np.array(labels)
    pixels = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)  # each tile says which one it is
    return LabelledTiles(pixels, labels, labels * 0)


def ids(tiles):
    return tiles.tiles[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        ([0] * 20 + [1] * 10, {0: 4, 1: 2}),  # a fifth of each label
        ([0] * 2 + [1] * 3, {0: 1, 1: 1}),  # one at the least
        ([0] + [1] * 4, {1: 1}),  # the only tile of a label is trained on
        ([0], {}),
    ],
)
def test_a_share_of_each_label_validates_and_none_is_trained_on(labels, held):
    settings, tiles = config(patience=1, validation_share=0.2), client(labels)
    train, validation = split_validation(tiles, settings, seed=0, client=3)
    assert sorted(ids(train) + ids(validation)) == list(range(len(labels)))
    for label in set(labels):
        assert (validation.labels == label).sum() == held.get(label, 0)
    assert set(train.labels.tolist()) == set(labels)
    again = split_validation(tiles, settings, seed=0, client=3)
    assert ids(again[1]) == ids(validation), "the same in every round"


def test_other_clients_and_seeds_hold_others_and_without_patience_all_are_trained_on():
    tiles, settings = client([0] * 30), config(patience=1)
    held = {tuple(ids(split_validation(tiles, settings, seed, who)[1])) for seed in (0, 1) for who in (0, 1)}
    assert len(held) == 4
    train, validation = split_validation(tiles, config(), 0, 0)
    assert ids(train) == list(range(30)) and len(validation.labels) == 0


def test_the_loss_is_scikit_learns():
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, (50, 4)).astype(np.float32), random.integers(0, 4, 50)
    shares = np.exp(logits.astype(float))
    shares /= shares.sum(1, keepdims=True)
    assert cross_entropy(logits, labels) == pytest.approx(log_loss(labels, shares, labels=range(4)), rel=1e-9)
    assert cross_entropy(np.array([[1000.0, 0.0]], np.float32), np.array([1])) == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([], False),
        ([3.0, 2.0, 1.0], False),
        ([1.0, 2.0], False),
        ([1.0, 2.0, 0.9, 1.0], False),
        ([1.0, 2.0, 3.0], True),
        ([1.0, 1.0, 1.0], True),  # no smaller one
        ([2.0, 1.0, 1.5, 1.2], True),
    ],
)
def test_patience_of_two_evaluations(losses, stops):
    assert out_of_patience(losses, 2) is stops
    assert not out_of_patience(losses, None)


def test_the_best_of_equals_is_the_first():
    assert best_evaluation([2.0, 1.0, 1.0]) == 1
