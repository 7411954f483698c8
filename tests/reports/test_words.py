"""The headline of a judgement counts alarms, and scores beside those of real tiles in the direction that is good."""

import numpy as np
import pandas as pd
import pytest

from fedray.reports import Finding, Judged
from fedray.reports.judgement import Judgement, score_table
from fedray.reports.words import headline, paragraph
from fedray.testing import real_textures, texture_labels, texture_tiles

FLOOR = {"kid/some/64": 0.1, "coverage/some/64": 0.9, "c2st/texture/64": 0.6}


def judgement(scores, alarms=()):
    judged = Judged("some", texture_tiles(0, 4), texture_labels(4), real_textures(2))
    names = ("memorisation", "collapse", "label-similarity")
    findings = {name: Finding(f"About {name}.", name in alarms, {"all": pd.DataFrame()}) for name in names}
    return Judgement(judged, {}, scores, FLOOR, {}, pd.DataFrame(), findings)


@pytest.mark.parametrize(
    ("scores", "alarms", "said"),
    [
        ((0.2, 0.8, 0.7), (), "No alarm is raised; by all 3 scores they are worse than real tiles are."),
        ((0.1, 0.9, 0.6), (), "No alarm is raised; by none of 3 scores are they worse than other real tiles."),
        ((0.1, 0.8, 0.5), ("collapse",),
         "1 alarm: collapse; by 1 of 3 scores they are worse than other real tiles, by 2 no worse."),
        ((0.0, 1.0, 0.7), ("memorisation", "collapse"),
         "2 alarms: memorisation and collapse; by 1 of 3 scores they are worse than other real tiles, by 2 no worse."),
    ],
)  # fmt: skip
def test_the_headline(scores, alarms, said):
    assert headline(judgement(dict(zip(FLOOR, scores, strict=True)), alarms)) == said


def test_scores_without_a_floor_are_not_held_against_one():
    assert headline(judgement({"kid/other/64": 1.0})) == (
        "No alarm is raised; no score has real tiles to be held against."
    )


def test_the_paragraph_says_known_scores_beside_real_tiles_and_every_verdict():
    told = paragraph(judgement({"kid/some/64": 0.25, "coverage/some/64": 0.5, "c2st/texture/64": 0.75}), 64, "colon")
    told = told.replace("\N{NO-BREAK SPACE}", " ")
    assert told.startswith("64 generated tiles are held against as many real ones of colon. KID is 0.25; other real")
    assert "in 75 % of cases (guessing: 50 %), and between real tiles in 60 %." in told
    assert "Coverage is 50 %; other real tiles have 90 %." in told
    assert told.endswith("About memorisation. About collapse. About label-similarity.")


def test_the_table_has_a_row_a_score_with_its_interval():
    scores = {"c2st/texture/64": 0.7, "c2st-low/texture/64": 0.6, "c2st-high/texture/64": 0.8, "kid/some/64": 0.2}
    table = score_table(scores, FLOOR, {"grey": {"kid/some/64": 9.0}})
    assert table["score"].tolist() == ["c2st/texture/64", "kid/some/64"]
    assert table[["low", "high", "floor"]].iloc[0].tolist() == [0.6, 0.8, 0.6]
    assert np.isnan(table["low"].iloc[1]) and table["grey"].iloc[1] == 9.0
    assert table["better"].tolist() == ["lower", "lower"]
