"""What people are told of a self-test: lines, warnings, table, picture, tag and title agree with it."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console

from fedray.cli.report import show_self_test
from fedray.cli.trials import print_trials
from fedray.config import ExperimentConfig
from fedray.evaluation import EvaluationError, Evaluator, ExtractorQuality, SelfTest
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.reference import Reference
from fedray.experiment.self_tested import (
    blind_tags,
    blind_words,
    in_words,
    keep_self_test,
    quality_line,
    quality_tags,
    self_test_lines,
    self_test_table,
    self_test_warnings,
    spread_lines,
)
from fedray.results.files import SELF_TEST, SELF_TEST_PICTURE
from fedray.sweep.check import check_goal_means_something
from fedray.sweep.results import SweepResult, with_context
from fedray.sweep.space import Goal, SearchSpace

FID, GLAND = "fid/x/64", "kid/x/64/label/gland"
TEST = SelfTest(
    scores={
        "blur 1 px": {FID: 1.9, GLAND: 9.0},
        "blur 2 px": {FID: 8.0, GLAND: 9.5},
        "patches 1/2": {FID: 30.0, GLAND: 9.0},
        "patches 1/4": {FID: 20.0, GLAND: 9.9},
        "8 repeated": {FID: 2.0, GLAND: 7.0},
        "labels permuted": {FID: 1.0, GLAND: 0.3},
    },
    floor={FID: 1.0, GLAND: 0.1},
    floor_intervals={FID: (0.5, 1.5), GLAND: (-0.1, 0.3)},
    intervals={FID: (-0.5, 2.0), GLAND: (-0.4, 0.5)},
    rises={
        "blur 1 px": {FID: (-0.1, 1.9), GLAND: (8.0, 10.0)},
        "blur 2 px": {FID: (6.0, 8.0), GLAND: (8.0, 11.0)},
        "patches 1/2": {FID: (28.0, 30.0), GLAND: (8.0, 10.0)},
        "patches 1/4": {FID: (18.0, 20.0), GLAND: (8.0, 12.0)},
        "8 repeated": {FID: (0.5, 1.5), GLAND: (6.0, 8.0)},
        "labels permuted": {FID: (0.0, 0.0), GLAND: (-0.1, 0.5)},
    },
    skipped={"stain shift": "tiles of 1 channel(s) have no stain"},
    void=frozenset({"x/64/label/gland"}),
)
SEEING = SelfTest(
    scores={name: {score: value + 50 for score, value in scores.items()} for name, scores in TEST.scores.items()},
    floor=TEST.floor,
    floor_intervals=TEST.floor_intervals,
    intervals=TEST.intervals,
    rises=TEST.rises,
    skipped={},
)


def test_a_line_names_floor_interval_and_the_nearest_sets_without_permuted_labels() -> None:
    assert self_test_lines(TEST) == ["fid/x/64: real 1, up to 2; nearest blur 1 px 1.9, 8 repeated 2, blur 2 px 8"]


def test_warnings_say_what_a_score_does_not_see_where_its_order_is_wrong_and_which_labels_have_none() -> None:
    blind, order, labels = self_test_warnings(TEST)
    assert blind.startswith("fid/x/64 is blind to a blur of 1 px: real tiles destroyed so score no worse than before")
    assert "patches 1/4 (20) for no worse than patches 1/2 (30)" in order
    assert "no score in x/64 is shown for the label(s) gland alone: permuted labels do not worsen it" in labels
    assert self_test_warnings(SEEING) == [order.replace("(20)", "(70)").replace("(30)", "(80)")]


def test_scores_that_are_blind_to_the_same_are_named_together() -> None:
    doubled = SelfTest(
        scores={name: scores | {"kid/x/64": scores[FID]} for name, scores in TEST.scores.items()},
        floor=TEST.floor | {"kid/x/64": 1.0},
        floor_intervals=TEST.floor_intervals | {"kid/x/64": (0.5, 1.5)},
        intervals=TEST.intervals | {"kid/x/64": (0.0, 2.0)},
        rises={name: rises | {"kid/x/64": rises[FID]} for name, rises in TEST.rises.items()},
        skipped={},
    )
    assert self_test_warnings(doubled)[0].startswith("fid/x/64 and kid/x/64 are blind to a blur of 1 px: ")
    assert spread_lines(doubled) == [
        "fid/x/64 and kid/x/64: raised by collapse to 8 tiles, but no further than 64 other real tiles may reach; more "
        "tiles would tell them apart"
    ]
    assert spread_lines(SEEING) == []


def test_many_blind_spots_are_counted() -> None:
    assert in_words(["noise"]) == "noise"
    names = ["noise", "blur 1 px", "blur 2 px", "JPEG 30", "8 repeated", "32 repeated"]
    assert in_words(names).endswith("a blur of 2 px, blocks of strong JPEG compression and 2 more")


def test_the_table_has_every_set_and_score_and_those_that_were_skipped(tmp_path: Path) -> None:
    keep_self_test(TEST, tmp_path)
    table = pd.read_parquet(tmp_path / SELF_TEST)
    pd.testing.assert_frame_equal(table, self_test_table(TEST))
    assert len(table) == 2 * (1 + 6 + 1)
    rows = table.set_index(["tiles", "score"])
    assert rows.loc[("real tiles", FID), ["value", "low", "high"]].tolist() == [1.0, -0.5, 2.0]
    assert rows.loc[("blur 1 px", FID), "state"] == "blind"
    assert rows.loc[("8 repeated", FID), "state"] == "within the spread"
    assert rows.loc[("8 repeated", FID), ["rise", "rise_low", "rise_high"]].tolist() == [1.0, 0.5, 1.5]
    assert rows.loc[("blur 2 px", FID), "state"] == "seen"
    assert rows.loc[("labels permuted", FID), "state"] == ""  # no fault of all tiles
    assert rows.loc[("labels permuted", GLAND), "state"] == "blind"
    assert rows.loc[("real tiles", FID), "state"] == ""
    assert np.isnan(rows.loc[("stain shift", FID), "value"])
    assert rows.loc[("stain shift", FID), "skipped"] == "tiles of 1 channel(s) have no stain"
    assert np.asarray(Image.open(tmp_path / SELF_TEST_PICTURE)).std() > 5


def test_words_from_the_table_and_the_tag_agree(tmp_path: Path) -> None:
    assert blind_words(tmp_path, FID) == ""
    keep_self_test(TEST, tmp_path)
    assert blind_words(tmp_path, FID) == "blind to a blur of 1 px"
    assert blind_words(tmp_path, GLAND) == "blind to permuted labels"
    assert blind_tags(TEST) == {"fedray.score-blind-to": "fid/x/64: blur 1 px"}
    assert blind_tags(SEEING) == {"fedray.score-blind-to": "nothing tested"}
    assert blind_tags(None) == {}


def space(metric: str) -> SearchSpace:
    return SearchSpace(
        name="small",
        fixed=ExperimentConfig(),
        search={"gan.latent_dim": {"type": "int", "low": 8, "high": 16}},
        goal=Goal(metric=metric),
        num_trials=1,
    )  # type: ignore[arg-type]


def test_a_sweeps_title_says_what_its_goal_is_blind_to(tmp_path: Path) -> None:
    keep_self_test(TEST, tmp_path)
    row = {"trial": "a", "number": 0, "outcome": "complete", "rounds": 1, "score": 3.0, "start_point": False}
    shown = io.StringIO()
    result = SweepResult(space(FID), pd.DataFrame([row | {"gan.latent_dim": 8}]), tmp_path)
    print_trials(Console(file=shown, width=200), result)
    assert "(lower is better; blind to a blur of 1 px)" in " ".join(shown.getvalue().split())


def evaluator_with(quality: ExtractorQuality | None) -> Evaluator:
    extractor = Extractor("domain-cnn", torch.nn.Identity(), 64, "0" * 16, quality)  # type: ignore[arg-type]
    return Evaluator(extractor, Reference({}, {}), TEST, ("gland",), ("site",), (16, 16, 3), torch.device("cpu"))


def test_a_trained_extractors_quality_is_told_at_the_start_in_a_tag_and_below_a_sweeps_trials(tmp_path: Path) -> None:
    told = "domain-cnn tells labels apart: balanced accuracy 0.778 on 190 test tiles (guessing: 0.333)"
    trained = evaluator_with(ExtractorQuality(0.7777, 1 / 3, 190))
    assert quality_line(trained) == told and quality_tags(trained) == {"fedray.extractor-quality": told}
    for without in (evaluator_with(None), evaluator_with(ExtractorQuality(float("nan"), float("nan"), 0))):
        assert quality_line(without) == "" and quality_tags(without) == {}
    trial = {"trial": "a", "number": 0, "outcome": "complete", "rounds": 1, "score": 3.0, "start_point": False}
    trials = pd.DataFrame([trial | {"gan.latent_dim": 8}, trial | {"gan.latent_dim": 9}])
    for quality, count in ((told, 1), ("", 0)):
        shown, start = io.StringIO(), io.StringIO()
        with_quality = with_context(trials, {FID: 1.0}, ["run", "other"], quality)
        print_trials(Console(file=shown, width=200), SweepResult(space(FID), with_quality, tmp_path))
        show_self_test(Console(file=start, width=200), trained if quality else evaluator_with(None), tmp_path)
        assert shown.getvalue().count(told) == start.getvalue().count(told) == count


def test_a_goal_that_says_nothing_of_its_label_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"goal.metric kid/x/64/label/gland of small cannot .* take kid/x/64, or"):
        check_goal_means_something(space(GLAND), TEST)
    check_goal_means_something(space(FID), TEST)
    check_goal_means_something(space(GLAND), SEEING)
    check_goal_means_something(space(GLAND), None)
