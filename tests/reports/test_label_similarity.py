"""Tiles that show other labels than those asked for are flagged; the classifier is scikit-learn's, asked directly."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from fedray.data import Tile, write_store
from fedray.reports import Judged, RealTiles
from fedray.reports.label_similarity import judge_labels, label_table, taught_labels
from fedray.testing import real_textures, texture_labels, texture_tiles

NUM = 40


def asked(tiles, real=None):
    """The table, the verdict and whether it is an alarm; without the map, which takes a second."""
    judged = Judged("some", tiles, texture_labels(NUM), real or real_textures(NUM))
    taught = taught_labels(judged)
    table = label_table(judged, taught)
    return table, *judge_labels(table, len(taught))


def test_the_share_is_that_of_a_classifier_of_real_tiles():
    real, rng = real_textures(NUM), np.random.default_rng(0)
    tiles = np.clip(texture_tiles(3, NUM) + rng.normal(0, 60, (2 * NUM, 8, 8, 3)), 0, 255).astype(np.uint8)
    training = real.features(real.store.tiles(real.training))
    scaler = StandardScaler().fit(training)
    classifier = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    classifier.fit(scaler.transform(training), real.store.labels[real.training])
    answers = classifier.predict(scaler.transform(real.features(tiles)))
    table, *_ = asked(tiles)
    assert table["generated"].iloc[0] == pytest.approx(balanced_accuracy_score(texture_labels(NUM), answers))
    assert table["generated"].iloc[1] == pytest.approx(np.mean(answers[:NUM] == 0))
    assert (table["generated, low"] <= table["generated"]).all()
    assert table["generated tiles"].tolist() == [2 * NUM, NUM, NUM]


@pytest.mark.parametrize("lost", ["exchanged", "all alike"])
def test_lost_labels_are_flagged(lost):
    tiles = texture_tiles(3, NUM)
    tiles = tiles[::-1] if lost == "exchanged" else np.concatenate([tiles[:NUM], tiles[:NUM]])
    _, verdict, alarm = asked(tiles)
    assert alarm is True and verdict.startswith("Labels are lost: ")
    assert asked(texture_tiles(3, NUM))[2] is False


def test_labels_that_real_tiles_do_not_show_are_not_asked(tmp_path):
    """Both labels from one process: a classifier of real tiles only guesses."""
    images = {split: np.concatenate([texture_tiles(seed, NUM)[:NUM] for seed in seeds])
              for split, seeds in {"train": (0, 1), "test": (2, 3)}.items()}  # fmt: skip
    tiles = (
        Tile(image, place // NUM, 0, group=f"{split}{place}", split=split, source="")
        for split, some in images.items()
        for place, image in enumerate(some)
    )
    real = RealTiles(write_store(tmp_path / "s", tiles, label_names=["a", "b"]), "some", real_textures(NUM).features)
    _, verdict, alarm = asked(texture_tiles(3, NUM), real)
    assert alarm is None and "a classifier knows no more than" in verdict
