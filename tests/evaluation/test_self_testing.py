"""The self-test names what an extractor does not see, and nothing that it sees."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from fedray.config import EvaluationConfig
from fedray.data import Tile, TileStore, write_store
from fedray.evaluation import EvaluationError, Evaluator, check_compared, check_extractor, reference
from fedray.evaluation import self_testing as module
from fedray.evaluation.destruction import DESTRUCTIONS, destroy
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.metrics import Sample, Scores, compare
from fedray.evaluation.metrics.distances import Fid, Kid
from fedray.evaluation.reference import floor_indices
from fedray.evaluation.self_testing import SelfTest, run_self_test
from fedray.randomness import stream

CONFIG = EvaluationConfig(num_samples=256)
MakeStore = Callable[..., TileStore]
FID, KID = "fid/efficientnet-lite0/256", "kid/efficientnet-lite0/256"


class Statistics(torch.nn.Module):
    """A network of one function of tiles, float [N, C, H, W] in [0, 1]."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.function(tiles.float() / 255),)


def self_test_of(
    store: TileStore, function: Callable[[torch.Tensor], torch.Tensor], more: Scores | None = None
) -> SelfTest:
    """Test an extractor of hand-made features on 128 tiles of a store; ``more`` is of the floor."""
    extractor = Extractor("by-hand", Statistics(function), 3, "0" * 16)  # type: ignore[arg-type]
    train, test = (store.indices(split) for split in ("train", "test"))
    rng = np.random.default_rng(0)
    chosen = [
        np.concatenate([rng.choice(part[store.labels[part] == label], 64, replace=False) for label in (0, 1)])
        for part in (test, train)
    ]
    real, other = (Sample(extractor.features(store.tiles(part), CPU), store.labels[part]) for part in chosen)
    floor = {}
    for metric in (Fid("by-hand", store.label_names), Kid("by-hand", store.label_names)):
        floor |= metric.values(real, other)
    floor |= more or {}
    real_in, other_in = ({"by-hand": each, "texture": each} for each in (real, other))
    return run_self_test([store.tiles(chosen[1])], [other_in], real_in, floor, extractor, store.label_names, CPU)


CPU = torch.device("cpu")


def mean_colour(tiles: torch.Tensor) -> torch.Tensor:
    return 3 * tiles.mean((2, 3))


def contrast(tiles: torch.Tensor) -> torch.Tensor:
    """Of neighbouring pixels."""
    return 10 * (tiles[..., 1:] - tiles[..., :-1]).abs().mean((2, 3))


def test_an_extractor_of_mean_colours_sees_colour_and_no_structure(store: TileStore) -> None:
    test = self_test_of(store, mean_colour)
    structure = {"blur 1 px", "blur 2 px", "patches 1/2", "patches 1/4", "patches 1/8", "random phase"}
    for score in ("fid/by-hand/128", "kid/by-hand/128"):
        assert structure <= set(test.blind_to(score))
        assert "labels permuted" not in test.blind_to(score)  # all tiles together stay the same
    assert "stain shift" not in test.blind_to("fid/by-hand/128")
    assert not test.void


def test_an_extractor_of_contrast_sees_sharpness_in_its_order(store: TileStore) -> None:
    test = self_test_of(store, contrast)
    for score in ("fid/by-hand/128", "kid/by-hand/128"):
        assert not {"blur 1 px", "blur 2 px", "noise"} & set(test.blind_to(score))
        assert not test.misordered(score)
        swapped = {**test.scores, "blur 1 px": test.scores["blur 2 px"], "blur 2 px": test.scores["blur 1 px"]}
        assert replace(test, scores=swapped).misordered(score) == [("blur 1 px", "blur 2 px")]


def test_labels_that_cannot_be_told_apart_have_no_scores_of_their_own(store: TileStore) -> None:
    whole = self_test_of(store, mean_colour)
    test = self_test_of(
        store, lambda tiles: torch.randn(len(tiles), 3, generator=torch.Generator().manual_seed(len(tiles)))
    )
    assert test.void == {f"by-hand/128/label/{name}" for name in store.label_names}
    scores = {"fid/by-hand/128": 1.0, "kid/by-hand/128/label/gland": 2.0, "c2st-low/by-hand/128/label/gland": 0.5}
    assert test.without_void(scores) == {"fid/by-hand/128": 1.0}
    assert whole.without_void(scores) == scores


def test_other_features_are_asked_by_the_interval_that_their_score_brings(
    store: TileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = {f"{kind}/texture/128/label/{name}": value for name in store.label_names
             for kind, value in {"c2st": 0.5, "c2st-low": 0.4, "c2st-high": 0.6}.items()}  # fmt: skip
    permuted = {"c2st/texture/128/label/gland": 0.6, "c2st/texture/128/label/stroma": 0.7}
    monkeypatch.setattr(module, "compare", lambda *asked: compare(*asked) | permuted)
    assert self_test_of(store, mean_colour, floor).void == {"texture/128/label/gland"}


def test_the_default_extractor_sees_every_destruction_of_colon_in_its_order(evaluator: Evaluator) -> None:
    test = evaluator.self_test
    assert test is not None
    assert list(test.scores) == list(DESTRUCTIONS)
    for score in (FID, KID):
        assert not test.blind_to(score)
        assert not test.misordered(score)
        assert test.intervals[score][0] < test.floor[score] < test.intervals[score][1]
    assert test.floor.items() <= evaluator.floor.items()
    assert not any(what.startswith("domain-cnn") for what in test.void)


def test_each_score_is_that_of_the_destroyed_tiles_in_a_generators_place(
    store: TileStore, evaluator: Evaluator
) -> None:
    assert evaluator.self_test is not None
    chosen = floor_indices(store, CONFIG)
    tiles, labels = store.tiles(chosen), store.labels[chosen].astype(np.int64)
    for name, num_ways in {"blur 1 px": 1, "patches 1/2": 1, "stain shift": 2}.items():
        ways = destroy(name, tiles, labels, stream(0, "self-test", name))
        expected = [evaluator.scores(destroyed, labels) for destroyed in ways]
        assert len(expected) == num_ways
        for score, value in evaluator.self_test.scores[name].items():
            assert value == pytest.approx(np.mean([each[score] for each in expected]), rel=1e-4, abs=1e-4)


def test_repeated_tiles_score_what_several_choices_of_them_do_on_average(
    store: TileStore, evaluator: Evaluator
) -> None:
    test, real = evaluator.self_test, evaluator.reference.samples["efficientnet-lite0"].features
    assert test is not None
    chosen = floor_indices(store, CONFIG)
    tiles, labels = store.tiles(chosen), store.labels[chosen].astype(np.int64)
    rng, found = stream(0, "self-test", "8 repeated"), []
    numbers = np.broadcast_to(np.arange(256)[:, np.newaxis, np.newaxis, np.newaxis], (256, 1, 1, 1))
    features = evaluator.extractor.features(tiles, evaluator.device)
    for _ in range(8):
        repeated = features[destroy("8 repeated", numbers.astype(np.uint8), labels, rng)[0].ravel()]
        assert len(np.unique(repeated, axis=0)) == 8
        pair = (torch.from_numpy(part.astype(np.float64)) for part in (real, repeated))
        mmd = kid_features_to_metric(*pair, kid_subset_size=256, kid_subsets=1, verbose=False)
        found.append(mmd["kernel_inception_distance_mean"])
    assert test.scores["8 repeated"][KID] == pytest.approx(np.mean(found), rel=1e-4)
    low, high = test.rises["8 repeated"][KID]
    assert 0 < low < np.mean(found) - test.floor[KID] < high


def test_a_rise_that_rounding_made_or_chance_may_have_is_none() -> None:
    def state(score: float, rise: tuple[float, float]) -> str:
        test = SelfTest(
            {"noise": {KID: score}}, {KID: 1.0}, {KID: (0.8, 1.2)}, {KID: (0.5, 1.5)}, {"noise": {KID: rise}}, {}
        )
        states = {"blind": test.blind_to(KID), "within the spread": test.within_spread(KID)}
        assert [name for name, sets in states.items() if sets] == [each for each in [test.state("noise", KID)]
                                                                   if each != "seen"]  # fmt: skip
        return test.state("noise", KID)

    assert state(1.6, (-0.1, 1.3)) == "seen"
    assert state(1.4, (0.1, 0.7)) == "within the spread"
    assert state(1.4, (-0.01, 0.81)) == "blind"
    assert state(1.0 + 1e-6, (0.5e-6, 1.5e-6)) == "blind"
    assert state(0.7, (-0.4, -0.2)) == "blind"


def test_it_is_computed_once_for_a_store(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    small = make_store({"gland": (30, 20), "stroma": (30, 20)}, 16, seed=5)
    config = EvaluationConfig(num_samples=20, extractor="domain-cnn")
    first = Evaluator.prepare(small, config).self_test
    assert first is not None
    assert first.skipped == {"32 repeated": "20 tiles are fewer than two for each that is kept"}

    def features(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Extractor, "features", features)
    again = Evaluator.prepare(small, config).self_test
    assert again is not None
    assert vars(again) == vars(first)


def plain_store(path: Path, pixels: Callable[[int, int, str], np.ndarray]) -> TileStore:
    tiles = [
        Tile(pixels(label, number, split), label, 0, f"{split}{number}", split, "test")
        for split in ("train", "test") for label in (0, 1) for number in range(20)
    ]  # fmt: skip
    return write_store(path / "plain", tiles, label_names=["a", "b"])


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_tiles_that_are_one_picture_are_refused(tmp_path: Path) -> None:
    grey = np.full((16, 16, 3), 128, np.uint8)
    config = EvaluationConfig(num_samples=20, extractor="domain-cnn")
    for constant, what in (("train", "the 40 training tiles"), ("test", "the 20 test tiles")):
        store = plain_store(
            tmp_path / constant, lambda label, number, split, same=constant: grey if split == same else noise(number)
        )
        with pytest.raises(EvaluationError, match=f"{what} .* are one and the same picture .*import them again"):
            check_compared(store, config)
            check_extractor(store, config)
        with pytest.raises(EvaluationError, match=r"same picture|all alike"):
            Evaluator.prepare(store, config)


def test_few_pictures_in_many_copies_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = plain_store(tmp_path, lambda label, number, split: noise(2 * label + number % 2))
    Evaluator.prepare(store, EvaluationConfig(num_samples=20, extractor="domain-cnn"))
    assert any(
        "20 real tiles compared vary in 3 directions of domain-cnn's features only" in m for m in caplog.messages
    )
    reference._warn_if_copies.cache_clear()
