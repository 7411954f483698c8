"""Generators under several extractors: the scores of an experiment, ranked, and what the agreement of ranks shows."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau

from fedray.config import EvaluationConfig
from fedray.data import TileStore, store_shape, write_store
from fedray.evaluation import Evaluator, extractor_name
from fedray.experiment.comparing import (
    AGREEMENT,
    ITSELF,
    PICTURE,
    SCORES,
    Candidate,
    Compared,
    ComparisonError,
    check_comparable,
    score_candidates,
    verdict,
    write_compared,
)
from fedray.experiment.settled import settled
from fedray.randomness import torch_stream
from fedray.results.basis import ShownTiles
from fedray.results.finished import Finished
from fedray.tasks import task_of
from tests.support.small import random_tiles

NUM = 5


class Colours(torch.nn.Module):
    """Twelve features."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1)


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> list[EvaluationConfig]:
    path = tmp_path_factory.mktemp("network") / "colours.pt"
    torch.jit.save(torch.jit.script(Colours()), path)
    said = {"extractor_weights": str(path), "extractor_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    said |= {"extractor_size": 16, "extractor_mean": (0.5,) * 3, "extractor_std": (0.2,) * 3, "extractor_width": 12}
    return [EvaluationConfig(num_samples=16), EvaluationConfig(extractor="torchscript", num_samples=16, **said)]


@pytest.fixture(scope="module")
def candidates(small_config, small_store: TileStore) -> list[Candidate]:
    """Generators whose weights are larger and larger."""
    config = settled(small_config())
    arrays = task_of(config).make(config, store_shape(small_store), "cpu").arrays()
    tiles = ShownTiles(small_store.fingerprint, 16, 3, small_store.label_names, small_store.domain_names)

    def finished(step: int) -> Finished:
        larger = {name: (array * (1 + 0.4 * step)).astype(array.dtype) for name, array in arrays.items()}
        return Finished(f"x{step}", "experiment", config, tiles, 1, larger, {}, {}, pd.DataFrame(), "")

    return [Candidate(f"x{step}", finished(step)) for step in range(NUM)]


@pytest.fixture(scope="module")
def compared(candidates, judges, small_store) -> Compared:
    return score_candidates(candidates, judges, small_store, "kid")


def test_scores_are_those_that_an_evaluation_of_the_same_tiles_gives(
    compared: Compared, candidates: list[Candidate], judges: list[EvaluationConfig], small_store: TileStore
) -> None:
    for judge in judges:
        evaluator = Evaluator.prepare(small_store, judge)
        domains = np.zeros(16, np.int64)
        for draw in (0, 1):
            tiles = candidates[2].finished.sampler().sample(
                evaluator.labels, torch_stream(0, "compared", draw), domains
            )  # fmt: skip
            expected = evaluator.scores(tiles, evaluator.labels)
            frame = compared.scores
            mine = frame[(frame["run"] == "x2") & (frame["draw"] == draw)]
            mine = mine[mine["extractor"] == evaluator.extractor.name].set_index("score")["value"]
            assert set(expected) <= set(mine.index)  # labels that the self-test calls void are in both or here alone
            for name, value in expected.items():
                assert mine[name] == pytest.approx(value, rel=1e-5, abs=1e-9)
        assert compared.floor[evaluator.extractor.name] == evaluator.floor[f"kid/{evaluator.extractor.name}/16"]


def test_taus_are_scipys_of_the_scores_and_ranks_have_the_best_first(
    compared: Compared, judges: list[EvaluationConfig]
) -> None:
    names = [extractor_name(judge) for judge in judges]
    table, ranks = compared.table, compared.ranks
    assert list(table) == names and list(table.index) == [f"x{step}" for step in range(NUM)]
    for name in names:
        assert table.index[ranks[name] == 1] == [table[name].idxmin()] and sorted(ranks[name]) == [1, 2, 3, 4, 5]
    frame = compared.scores[compared.scores["score"].isin([f"kid/{name}/16" for name in names])]
    by = frame.pivot(index="run", columns=["extractor", "draw"], values="value").drop(index="real tiles")
    found = {(row["first"], row["second"]): row for row in compared.agreement.to_dict("records")}
    assert set(found) == {(names[0], ITSELF), (names[1], ITSELF), tuple(names)}
    assert found[tuple(names)]["tau"] == pytest.approx(kendalltau(by[names[0], 0], by[names[1], 0]).statistic)
    assert found[names[1], ITSELF]["tau"] == pytest.approx(kendalltau(by[names[1], 0], by[names[1], 1]).statistic)


def test_what_is_left_is_all_of_it(compared: Compared, tmp_path: Path) -> None:
    write_compared(compared, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / SCORES), compared.scores)
    assert len(pd.read_parquet(tmp_path / AGREEMENT)) == 3
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def given(pair: tuple[float, float, float], itself: float) -> Compared:
    rows = [
        ("a", ITSELF, "kid", itself, 0.1, 1.0, 9),
        ("b", ITSELF, "kid", 0.95, 0.1, 1.0, 9),
        ("a", "b", "kid", *pair, 9),
    ]
    columns = ["first", "second", "score", "tau", "low", "high", "runs"]
    return Compared(pd.DataFrame(), pd.DataFrame(rows, columns=columns), "kid", ("a", "b"))


@pytest.mark.parametrize(
    ("pair", "itself", "expected"),
    [
        ((0.3, -0.2, 0.7), 0.9, "a and b: no agreement is shown with 9 runs; more may show one."),
        ((0.5, 0.2, 0.8), 0.9, "a and b agree, but less than each with itself on other tiles"),
        ((0.5, 0.2, 0.8), 0.6, "a and b agree, and no less than the draw of tiles allows"),
        ((float("nan"),) * 3, 0.9, "a and b: no agreement is shown"),
    ],
)
def test_the_verdict_says_no_more_than_the_intervals(pair, itself, expected) -> None:
    [sentence] = verdict(given(pair, itself))
    assert sentence.startswith(expected)


def test_what_cannot_be_compared_is_refused(candidates, judges, small_store: TileStore, tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match=r"at least 4 generators, but 3 can be scored \(x0, x1, x2\); name more"):
        check_comparable(candidates[:3], small_store)
    other = write_store(tmp_path / "other", random_tiles(), label_names=["gland", "stroma"])
    with pytest.raises(
        ComparisonError, match=r"x0 makes tiles of 16 px with 3 channels, labels dark, bright .* gland, s"
    ):
        check_comparable(candidates, other)
    moved = write_store(tmp_path / "moved", list(random_tiles())[:30], label_names=["dark", "bright"])
    assert check_comparable(candidates, small_store) == []
    assert check_comparable(candidates, moved) == [
        f"x0, x1, x2, x3, x4: learned from other tiles than those of {moved.path}"
    ]
    with pytest.raises(ComparisonError, match="the extractor efficientnet-lite0 stands twice"):
        score_candidates(candidates, [judges[0], judges[0]], small_store, "kid")
