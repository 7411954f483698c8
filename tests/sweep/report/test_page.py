"""The page of a sweep: whole in itself, honest about few trials, and the planted value first."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from fedray.cli.mattered import print_importance
from fedray.results import Place
from fedray.sweep import open_study
from fedray.sweep.report import keep_report
from fedray.sweep.report.figures import Swept, figures_of
from fedray.sweep.report.importance import COLUMNS, FANOVA, PED_ANOVA
from fedray.sweep.report.previews import Shown, rows_of, shown_trials
from fedray.sweep.report.values import in_sight
from fedray.sweep.report.words import ending
from fedray.tracking import Tracker
from tests.support.html_pages import Page, shown_whole
from tests.support.swept import PLANTED, leave_sweep

SECTIONS = ["trials", "mattered", "values", "course", "tiles", "time", "protocol"]


@pytest.fixture(scope="module", params=[20, 7], ids=["20 trials", "7 trials"])
def reported(request, small_store, tmp_path_factory):
    result, searcher = leave_sweep(small_store, tmp_path_factory.mktemp("reported") / "sweep", request.param)
    keep_report(result, searcher.study, small_store, Place(result.out))
    return result, (result.out / "report.html").read_text(encoding="utf-8")


def test_it_needs_nothing_but_itself_and_has_all_parts(reported):
    result, text = reported
    page = Page(text)
    assert page.ids == SECTIONS
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert len(page.images) >= 10 and all(image["alt"] for image in page.images)
    for trial in result.trials["trial"]:
        assert trial in page.text
    best = result.best
    assert f"Best: trial {best['trial']} with {best['score']:.3g}; real tiles score 1.5" in page.text
    words = " ".join(page.text.split())
    outcomes = result.trials["outcome"].value_counts()
    assert f"Of the {outcomes['pruned'] + outcomes['failed']} that were stopped or failed no network is kept" in words
    assert "python jobs/report_sweep.py" in page.text and str(result.out.parent) not in page.text


def test_a_browser_shows_it_whole(reported):
    result, _ = reported
    assert "What mattered" in shown_whole(result.out / "report.html", at_least=10)


def test_the_planted_value_comes_first_and_few_trials_are_said_to_be_few(reported):
    result, text = reported
    rows = pd.read_parquet(result.out / "importance.parquet")
    assert list(rows.columns) == list(COLUMNS)
    first = rows[rows["trials"] == rows["trials"].max()]
    console = Console(width=80, record=True)
    print_importance(console, result.out)
    told = console.export_text()
    assert max(len(line) for line in told.splitlines() if "matter" not in line) <= 80
    if len(result.trials) == 20:
        for method in (FANOVA, PED_ANOVA):
            assert first[first["method"] == method]["parameter"].iloc[0] == PLANTED
        assert f"{PLANTED} mattered: both methods find more than chance reaches." in told
        assert f"{PLANTED} mattered" in Page(text).text
        assert "are few for" not in text
    else:
        assert "are few for 3 searched values: they show whether something works, not what is best" in text
    shown = [line.split()[0] for line in told.splitlines() if re.match(r"\w+ .*\d\.\d\d", line)]
    assert shown[0] == first["parameter"].iloc[0].rpartition(".")[2] and len(shown) == 3


def test_every_chart_is_there_with_words_for_those_who_do_not_see_it(reported):
    result, _ = reported
    importance = pd.read_parquet(result.out / "importance.parquet")
    swept = Swept(result.space, result.trials, open_study(result.out), importance)
    figures = figures_of(swept)
    assert {"importance", "slices", "contour", "history", "curves", "timeline", "where"} <= figures.keys()
    for figure in figures.values():
        assert figure.png.startswith(b"\x89PNG") and figure.caption.endswith(".") and figure.alt
    numbers = len(result.trials) == 20 and "gan.augment" not in swept.order[:2]
    assert ("The surface is linear" in figures["contour"].caption) == numbers
    assert swept.spent.lanes == 2


def test_a_sweep_of_one_trial_that_says_nothing_has_a_page_too(small_store, tmp_path):
    result, searcher = leave_sweep(small_store, tmp_path / "sweep", 1)
    keep_report(result, searcher.study, small_store, Place(result.out))
    text = Page((result.out / "report.html").read_text(encoding="utf-8")).text
    assert "fewer than 5 trials have scores that compare" in text
    console = Console(width=80, record=True)
    print_importance(console, result.out)
    assert "fewer than 5 trials" in " ".join(console.export_text().split())


def test_where_real_tiles_may_not_be_seen_the_run_gets_a_page_without(small_store, new_database, tmp_path):
    result, searcher = leave_sweep(small_store, tmp_path / "sweep", 8)
    uri = new_database(tmp_path)
    run = Tracker(uri, "fedray", real_tiles=False).start_run("sweep small")
    keep_report(result, searcher.study, small_store, Place(result.out), run)
    run.finish("FINISHED")
    client = MlflowClient(uri)
    assert {file.path for file in client.list_artifacts(run.run_id)} == {"report.html", "importance.parquet"}
    logged = Page(Path(client.download_artifacts(run.run_id, "report.html", str(tmp_path))).read_text(encoding="utf-8"))
    kept = Page((result.out / "report.html").read_text(encoding="utf-8"))
    assert "real, training" in kept.text and "real, training" not in logged.text
    assert len(kept.images) == len(logged.images) + 2


@pytest.mark.parametrize(
    ("complete", "expected"),
    [
        (0, []),
        (1, ["best"]),
        (2, ["best", "worst"]),
        (3, ["best", "median", "worst"]),
        (8, ["best", "median", "worst"]),
    ],
)
def test_best_median_and_worst_are_those_of_the_trials_that_ran_all_their_rounds(tmp_path, complete, expected):
    names = [f"t{place}" for place in range(complete + 2)]
    outcomes = ["complete"] * complete + ["pruned", "failed"]
    trials = pd.DataFrame({"trial": names, "outcome": outcomes, "score": [float(i) for i in range(len(names))]})
    for name in names:
        for checkpoint in ("checkpoint_000001", "checkpoint_000002"):
            folder = tmp_path / "tune" / name / checkpoint
            folder.mkdir(parents=True)
            np.save(folder / "preview.npy", np.full((1, 1, 2, 2, 3), int(checkpoint[-1]), np.uint8))
    shown = shown_trials(trials, Place(tmp_path))
    assert [each.rank for each in shown] == expected
    places = sorted({0, complete // 2, complete - 1}) if complete else []
    assert [each.trial["trial"] for each in shown] == [names[place] for place in places]
    assert all((each.preview == 2).all() for each in shown), "of the last checkpoint"


def test_a_classifiers_answers_are_shown_as_pictures(small_store):
    answers = [Shown(rank, {"trial": rank, "score": 1.0}, np.eye(2, dtype=np.int64)) for rank in ("best", "worst")]
    [row] = rows_of(answers, small_store, real_tiles=True)
    assert [picture.words for picture in row.pictures] == ["best: best, 1", "worst: worst, 1"]


@pytest.mark.parametrize(
    ("floor", "scores", "shown"),
    [(1.0, [2.0, 3.0], True), (0.1, [3.2, 4.6], False), (1.0, [], False), (5.0, [3.0, 4.0, np.nan], True)],
)
def test_a_floor_far_from_all_scores_is_left_out_of_charts(floor, scores, shown):
    assert np.isfinite(in_sight(floor, scores)) == shown


@pytest.mark.parametrize(
    ("trial", "expected"),
    [({"outcome": "complete", "rounds": 3}, "complete"),
     ({"outcome": "complete", "rounds": 3, "excess": 0.0}, "complete"),
     ({"outcome": "complete", "rounds": 3, "excess": 0.5}, "complete, infeasible"),
     ({"outcome": "pruned", "rounds": 2, "excess": 0.5}, "stopped after round 2"),
     ({"outcome": "failed", "rounds": 0}, "failed after round 0")],
)  # fmt: skip
def test_how_a_trial_ended_is_said(trial, expected):
    assert ending(trial) == expected
