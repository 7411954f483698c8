"""What scores say about images, and what the evaluator refuses."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation import EvaluationError, Evaluator, cached_evaluator, mode_of, score_names
from fedray.evaluation.self_testing import what_of

CONFIG = EvaluationConfig(num_samples=256)
MakeStore = Callable[..., TileStore]

FID = "fid/efficientnet-lite0/256"
KID = "kid/efficientnet-lite0/256"


def test_scores_and_floor_have_the_announced_names(store: TileStore, evaluator: Evaluator, real: np.ndarray) -> None:
    names = score_names(CONFIG, store)
    assert names[:4] == [FID, KID, *(f"{KID}/label/{name}" for name in store.label_names)]
    of_all = [name for name in names[4:] if "/label/" not in name]
    assert of_all == [
        "sliced/efficientnet-lite0/256", "coverage/efficientnet-lite0/256", "recall/efficientnet-lite0/256",
        "precision/efficientnet-lite0/256", "density/efficientnet-lite0/256",
        "c2st/texture/256", "c2st-low/texture/256", "c2st-high/texture/256",
        "c2st/efficientnet-lite0/256", "c2st-low/efficientnet-lite0/256", "c2st-high/efficientnet-lite0/256",
        "distance/texture/256",
    ]  # fmt: skip
    assert len(names) == 2 + 2 + 3 * len(of_all)
    assert evaluator.self_test is not None
    shown = [name for name in names if what_of(name) not in evaluator.self_test.void]
    assert list(evaluator.scores(real, evaluator.labels)) == shown
    assert set(of_all) <= set(shown) and f"{KID}/label/{store.label_names[0]}" in shown
    assert list(evaluator.floor) == names


def test_the_name_carries_the_number_really_compared(store: TileStore) -> None:
    num_test = len(store.indices("test"))
    assert score_names(EvaluationConfig(num_samples=10_000), store)[0] == f"fid/efficientnet-lite0/{num_test}"


def test_labels_keep_the_shares_of_the_split(store: TileStore, evaluator: Evaluator) -> None:
    labels = store.labels[store.indices("test")]
    for label in range(len(store.label_names)):
        expected = np.mean(labels == label) * evaluator.num_samples
        assert abs(np.sum(evaluator.labels == label) - expected) < 1


def test_noise_and_a_constant_score_far_above_the_floor(evaluator: Evaluator, real: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, real.shape, dtype=np.uint8)
    for bad in (noise, np.full_like(real, int(real.mean()))):
        scores = evaluator.scores(bad, evaluator.labels)
        assert scores[KID] > 20 * evaluator.floor[KID]
        assert scores[FID] > 3 * evaluator.floor[FID]  # features have one length, so FID has a bound
        worse = {"min": 1, "max": -1}
        for name, score in scores.items():
            if (mode := mode_of(name)) is not None:
                assert worse[mode] * (score - evaluator.floor[name]) > 0, name
            assert not name.startswith("c2st") or score > 0.9


def test_real_tiles_score_about_the_floor(evaluator: Evaluator, real: np.ndarray) -> None:
    assert evaluator.scores(real, evaluator.labels)[FID] < 2 * evaluator.floor[FID]


def test_blurred_tiles_score_worse_the_more_they_are_blurred(evaluator: Evaluator, real: np.ndarray) -> None:
    blurred = [real, gaussian_filter(real, (0, 1, 1, 0)), gaussian_filter(real, (0, 2, 2, 0))]
    sharp, soft, softer = (evaluator.scores(tiles, evaluator.labels) for tiles in blurred)
    for name in (FID, KID):
        assert 1.5 * sharp[name] < soft[name] < softer[name]


def test_exchanged_labels_show_in_the_scores_per_label(store: TileStore, evaluator: Evaluator) -> None:
    train = store.indices("train")
    pools = {label: list(train[store.labels[train] == label]) for label in (0, 1)}
    exchanged = store.tiles(np.array([pools[1 - label].pop() for label in evaluator.labels]))
    scores = evaluator.scores(exchanged, evaluator.labels)
    for label in store.label_names:
        assert scores[f"{KID}/label/{label}"] > 3 * max(evaluator.floor[f"{KID}/label/{label}"], 0.0)


def test_the_order_of_generated_tiles_has_no_meaning(evaluator: Evaluator, real: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(len(real))
    straight = evaluator.scores(real, evaluator.labels)
    shuffled = evaluator.scores(real[order], evaluator.labels[order])
    assert shuffled == pytest.approx(straight, rel=1e-4, abs=1e-4)


def test_threads_and_a_pickled_copy_agree(evaluator: Evaluator, real: np.ndarray) -> None:
    copy = pickle.loads(pickle.dumps(evaluator))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda judge: judge.scores(real, judge.labels), [evaluator, evaluator, copy]))
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    assert found[2] == pytest.approx(found[0], rel=1e-6)


def test_another_number_of_tiles_is_refused(evaluator: Evaluator, real: np.ndarray) -> None:
    with pytest.raises(EvaluationError, match=r"expected 256 generated tiles with 256 labels, but got 255") as caught:
        evaluator.scores(real[:-1], evaluator.labels[:-1])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_another_histogram_shape_or_type_is_refused(evaluator: Evaluator, real: np.ndarray) -> None:
    with pytest.raises(EvaluationError, match="each label as often"):
        evaluator.scores(real, np.zeros_like(evaluator.labels))
    with pytest.raises(EvaluationError, match=r"must be uint8 of shape \(256, 32, 32, 3\)"):
        evaluator.scores(real[:, :16, :16], evaluator.labels)
    with pytest.raises(EvaluationError, match="but are float32"):
        evaluator.scores(real.astype(np.float32), evaluator.labels)  # type: ignore[arg-type]


def test_cached_evaluator_is_one_per_content_and_config(store: TileStore, evaluator: Evaluator) -> None:
    again = pickle.loads(pickle.dumps(store))
    first = cached_evaluator(store, CONFIG)
    assert cached_evaluator(again, CONFIG.model_copy(update={"every": 5})) is first
    assert cached_evaluator(store, EvaluationConfig(num_samples=64)) is not first


def test_a_store_without_tiles_for_a_floor_has_an_empty_one(make_store: MakeStore) -> None:
    few = make_store({"gland": (10, 30), "stroma": (10, 30)}, size=16)
    evaluator = Evaluator.prepare(few, EvaluationConfig(num_samples=60))
    assert evaluator.floor == {}
    assert evaluator.num_samples == 60
