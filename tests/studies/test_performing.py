"""What a step leaves, and how it is found again."""

import json

import pytest

from fedray.data import TileStore
from fedray.reports import REPORTS, judgement
from fedray.studies.performing import judge_tiles, make_tiles, outcome_before
from fedray.studies.steps import JudgementStep, StoreStep
from tests.support.left import leave


@pytest.fixture(scope="module")
def maker(small_config, new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("maker")
    return leave(small_config(), folder / "run", new_database(folder)).folder


def test_tiles_are_made_once(maker, tmp_path):
    step = StoreStep("made, seed 3", "f", tmp_path / "made", 3, (), maker, 5)
    assert outcome_before(step) is None
    make_tiles(step.maker, step.per_label, step.seed, step.folder, "cpu")
    made = TileStore.open(step.folder)
    assert (len(made), made.origin["seed"]) == (10, 3) and outcome_before(step).failed == ""
    make_tiles(step.maker, 7, 0, step.folder, "cpu")  # a lane that died after it had made them
    assert TileStore.open(step.folder).fingerprint == made.fingerprint


def test_a_judgement_leaves_its_page_and_what_alarmed(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(judgement, "REPORTS", {"collapse": REPORTS["collapse"]})  # the others take their time
    step = JudgementStep("judgement of maker, seed 3", "f", tmp_path / "judged", 3, (), maker)
    assert outcome_before(step) is None
    alarms = judge_tiles(step.name, step.maker, step.seed, step.folder, "cpu")
    assert set(alarms) <= {"collapse/alarm"} and set(alarms.values()) <= {0.0, 1.0}
    assert json.loads((step.folder / "alarms.json").read_text()) == alarms == outcome_before(step).scores
    assert "judgement of maker, seed 3" in (step.folder / "report.html").read_text()
