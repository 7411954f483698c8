"""What a step leaves, and how it is found again."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedray.config import GateConfig
from fedray.data import TileStore
from fedray.evaluation.gate import GateError
from fedray.experiment.gated import through_gate
from fedray.reports import REPORTS, judgement
from fedray.storage import unsealed
from fedray.studies import performing
from fedray.studies.performing import judge_tiles, make_control, make_tiles, outcome_before
from fedray.studies.steps import ControlStep, JudgementStep, StoreStep
from tests.support.left import leave


@pytest.fixture(scope="module")
def maker(small_config, new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("maker")
    return leave(small_config(), folder / "run", new_database(folder)).folder


def test_tiles_are_made_once(maker, tmp_path):
    step = StoreStep("made, seed 3", "f", tmp_path / "made", 3, (), maker, 5)
    assert outcome_before(step) is None
    make_tiles(step, "cpu")
    made = TileStore.open(step.folder)
    assert (len(made), made.origin["seed"]) == (10, 3) and outcome_before(step).failed == ""
    make_tiles(replace(step, per_label=7, seed=0), "cpu")  # a lane that died after it had made them
    assert TileStore.open(step.folder).fingerprint == made.fingerprint


def test_a_control_is_made_once_and_says_what_it_is(maker, tmp_path):
    made = StoreStep("made, seed 3", "f", tmp_path / "made", 3, (), maker, 5)
    make_tiles(made, "cpu")
    step = ControlStep("copies, seed 3", "g", tmp_path / "copies", 3, ("f",), made.folder, maker, "copies")
    assert outcome_before(step) is None
    make_control(step)
    make_control(replace(step, control="noise"))  # a lane that died after it had made them
    control = TileStore.open(step.folder)
    assert control.origin == {**TileStore.open(made.folder).origin, "control": "copies"}
    assert np.array_equal(np.bincount(control.labels), [5, 5]) and outcome_before(step).told == ""


def test_what_the_gate_refused_is_told_and_its_answers_are_kept(maker, tmp_path, monkeypatch):
    step = StoreStep("made, seed 3", "f", tmp_path / "made", 3, (), maker, 40, GateConfig(distance=1e-6, tiles=32))
    with pytest.raises(GateError, match="no cell passed the gate, so no tile is handed out"):
        make_tiles(step, "cpu")
    assert not step.folder.exists() and set(pd.read_parquet(tmp_path / "made.gate.parquet")["handed out"]) == {False}

    def passed(gate, sampler, cells, seed):
        gated = through_gate(gate, sampler, cells, seed)
        gated.table.loc[gated.table["label"] == "dark", "handed out"] = True
        return gated._replace(passed=[cells[0]])

    monkeypatch.setattr(performing, "through_gate", passed)
    make_tiles(step, "cpu")
    assert np.array_equal(np.bincount(TileStore.open(step.folder).labels, minlength=2), [40, 0])
    told = outcome_before(step).told
    assert told.startswith("1 of 2 cells passed the gate; not handed out: bright/default (copies ")


def test_a_judgement_leaves_its_page_and_what_alarmed(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(judgement, "REPORTS", {"collapse": REPORTS["collapse"]})  # the others take their time
    step = JudgementStep("judgement of maker, seed 3", "f", tmp_path / "judged", 3, (), maker)
    assert outcome_before(step) is None
    alarms = judge_tiles(step.name, step.maker, step.seed, step.folder, "cpu")
    assert set(alarms) <= {"collapse/alarm"} and set(alarms.values()) <= {0.0, 1.0}
    assert unsealed((step.folder / "alarms.json").read_bytes(), "") == alarms == outcome_before(step).scores
    assert "judgement of maker, seed 3" in (step.folder / "report.html").read_text()
