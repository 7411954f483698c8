"""Tables against figures computed by hand with scipy, and the sentence that they end with."""

import math
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedray.studies import plan_study, read_tables
from fedray.studies.performing import Outcome
from fedray.studies.rendering import table_texts, to_html, to_markdown
from fedray.studies.run import write_tables
from fedray.studies.tables import fill_tables, sentences, to_frame
from tests.support.studies import SMALL, small_study

BALANCED, AUROC = "balanced-accuracy/test/20", "auroc/test/20"


def filled(small_store, tmp_path, by_row, floor=0.5, **changes):
    """Fill the small study's table with balanced accuracies by row and seed; None: that run failed."""
    study = small_study(small_store, **changes)
    plan, outcomes = plan_study(study, tmp_path / "out"), {}
    for (_, row, seed), key in plan.cells.items():
        if row not in by_row:
            continue
        value = by_row[row][seed]
        outcomes[key] = (
            Outcome({}, {}, failed="it diverged")
            if value is None
            else Outcome(
                {BALANCED: value, f"{BALANCED}/label/dark": 1.0, AUROC: value + 0.1}, {BALANCED: floor, AUROC: 0.5}
            )
        )
    return study, fill_tables(study, plan, outcomes)


REAL, MADE = [0.80, 0.84, 0.82], [0.85, 0.90, 0.88]


def test_figures_are_means_intervals_and_paired_differences(small_store, tmp_path):
    study, tables = filled(small_store, tmp_path, {"real": REAL, "real + made": MADE}, seeds=[0, 1, 2])
    frame = to_frame(tables).set_index(["row", "score"])
    low, high = stats.t.interval(0.95, 2, np.mean(MADE), stats.sem(MADE))
    made = frame.loc["real + made", BALANCED]
    assert tuple(made[["seeds", "mean", "low", "high"]]) == pytest.approx((3, np.mean(MADE), low, high))
    paired = stats.ttest_rel(MADE, REAL).confidence_interval(0.95)
    found = tuple(made[["difference", "difference_low", "difference_high"]])
    assert found == pytest.approx((np.mean(np.subtract(MADE, REAL)), paired.low, paired.high))
    assert made["difference_shown"] == (paired.low > 0) and made["against"] == "real" and made["values"] == MADE
    real = frame.loc["real", AUROC]
    assert (real["published"], real["minus_published"]) == pytest.approx((0.9, np.mean(REAL) + 0.1 - 0.9))
    assert math.isnan(real["difference"]) and real["against"] == ""
    trivial = frame.loc["trivial", BALANCED]
    assert tuple(trivial[["mean", "low", "high"]]) == (0.5, 0.5, 0.5)

    write_tables(study, tables, tmp_path, ["made, seed 0: 3 of 4 cells <passed>"])
    assert "## Synthetic tiles\n\n- made, seed 0: 3 of 4 cells <passed>" in (tmp_path / "tables.md").read_text()
    assert "<li>made, seed 0: 3 of 4 cells &lt;passed&gt;</li>" in (tmp_path / "tables.html").read_text()
    pd.testing.assert_frame_equal(read_tables(tmp_path).drop(columns="values"), to_frame(tables).drop(columns="values"))


@pytest.mark.parametrize(
    ("made", "summary", "verdict"),
    [
        ([0.85, 0.90, 0.88], "Yes in 1 of 1 rows", "better"),
        ([0.75, 0.78, 0.77], "No: they did harm in 1 of 1 rows", "worse"),
        ([0.85, 0.80, 0.84], "No difference is shown.", "no difference shown"),
        ([0.85, None, None], "too few runs to say", "fewer than two seeds"),
    ],
)
def test_the_sentence_says_no_more_than_was_shown(small_store, tmp_path, made, summary, verdict):
    study, (table,) = filled(small_store, tmp_path, {"real": REAL, "real + made": made}, seeds=[0, 1, 2])
    first, second, rule = sentences(table)
    assert summary in first and verdict in second
    assert "excludes 0" in rule
    assert f"|\n\n- {first}\n- {second}\n" in to_markdown(study, [table]), "a blank line parts the list from the table"


def test_a_score_of_which_less_is_better_is_better_when_it_falls(small_store, tmp_path):
    name = "kid/efficientnet-lite0/16"
    table = {**SMALL["tables"][0], "scores": ["kid"], "rows": [{"name": "a", "experiment": "maker"}]}
    entries = {**SMALL["experiments"], "other": {"like": "maker", "set": {"gan.n_critic": 3}}}
    table["rows"].append({"name": "b", "experiment": "other", "synthetic": True})
    study = small_study(small_store, tables=[{**table, "baseline": "a"}], experiments=entries, seeds=[0, 1, 2])
    plan = plan_study(study, tmp_path / "out")
    outcomes = {key: Outcome({name: 1.0 + seed / 9 - (row == "b")}, {}) for (_, row, seed), key in plan.cells.items()}
    assert sentences(fill_tables(study, plan, outcomes)[0])[1].endswith("over 3 seeds: better.")


def test_what_failed_or_is_not_there_yet_counts_in_no_mean_and_is_told(small_store, tmp_path):
    study, tables = filled(small_store, tmp_path, {"real": [0.8, None, 0.9]}, seeds=[0, 1, 2])
    frame = to_frame(tables).set_index(["row", "score"])
    assert frame.loc["real", BALANCED]["seeds"] == 2 and frame.loc["real", BALANCED]["mean"] == pytest.approx(0.85)
    assert frame.loc["real + made", "balanced-accuracy"]["seeds"] == 0
    text = to_markdown(study, tables)
    assert "| real + made | 0 | - |" in text and "failed: real, seed 1: it diverged" in text
    assert "failed: real, seed 1: it diverged" in to_html(study, tables)


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects texts and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self.open.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_whole_needs_no_network_and_shows_words_as_they_are(small_store, tmp_path):
    table = {**SMALL["tables"][0], "about": "Is <b> & | shown?"}
    study, tables = filled(small_store, tmp_path, {"real": REAL, "real + made": MADE}, seeds=[0, 1, 2], tables=[table])
    page = Page()
    page.feed(to_html(study, tables))
    assert page.open == [] and page.addresses == []
    assert "Is <b> & | shown?" in page.texts and "0.877" in page.texts
    assert "http" not in to_html(study, tables)
    lines = [line for line in to_markdown(study, tables).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 2 + 3
    assert "**+0.057 [+0.042, +0.071]**" in lines[-1]


def test_a_stand_in_is_named_in_its_row_and_in_those_that_build_on_it(small_store, tmp_path):
    entries = {
        **SMALL["experiments"],
        "maker": {"set": {**SMALL["experiments"]["maker"]["set"], "gan.discriminator": "resnet50"}},
    }
    entries["real"] = {"set": {**SMALL["experiments"]["real"]["set"], "classification.network": "vit_l_16"}}
    stand_ins = {"gan.discriminator": {"resnet50": "cnn"}, "classification.network": {"vit_l_16": "cnn"}}
    _, (table,) = filled(
        small_store,
        tmp_path,
        {"real": REAL},
        experiments=entries,
        budgets={"small": {"stand_ins": stand_ins}},
        seeds=[0, 1, 2],
    )
    assert [row.stand_in for row in table.rows] == ["", "cnn for vit_l_16", "cnn for vit_l_16, tiles: cnn for resnet50"]
    headings, rows = table_texts(table)
    assert headings[2] == "stand-in" and rows[1][2] == ("cnn for vit_l_16", False)


def test_scores_with_a_star_become_columns_of_what_there_is(small_store, tmp_path):
    table = {**SMALL["tables"][0], "scores": ["balanced-accuracy", "balanced-accuracy/label/*", "fid*"]}
    table["rows"] = [{"name": "real", "experiment": "real"}]
    _, tables = filled(small_store, tmp_path, {"real": [0.8, 0.9]}, tables=[{**table, "baseline": None}])
    assert tables[0].table.scores == ["balanced-accuracy", "balanced-accuracy/label/dark"]
    frame = to_frame(tables).set_index(["row", "score"])
    assert frame.loc["real", f"{BALANCED}/label/dark"]["mean"] == 1.0
