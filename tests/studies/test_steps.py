"""Steps: each is found once, and its fingerprint changes with all that its result hangs on, and with nothing else."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedray.config import ClassificationConfig, ConfigError, GateConfig, config_paths, override
from fedray.data import StoreError, local_store, store_shape
from fedray.experiment import settled
from fedray.results.start import StartError, opened_start
from fedray.studies import plan_study
from fedray.studies.steps import (
    ExperimentStep,
    JudgementStep,
    StoreStep,
    experiment_fingerprint,
    fingerprint_of,
    full_name,
    spelled_out,
    store_fingerprint,
)
from fedray.tasks.classification import Classifier
from tests.support import classifiers
from tests.support.studies import SMALL, small_study

TABLE = {"name": "t", "scores": ["balanced-accuracy"]}

OTHERS = {
    "seed": 5, "partition.majority_share": 0.7, "gan.n_critic": 4, "gan.generator_lr": 3e-4,
    "federation.num_rounds": 9, "federation.local_steps": 11, "federation.strategy": "fedprox", "privacy.delta": 1e-6,
    "evaluation.every": 3, "evaluation.split": "train", "gan.ema_decay": 0.5,
}  # fmt: skip
"""Another value for some paths."""


def test_what_a_result_hangs_on_changes_its_fingerprint(small_config):
    base = settled(small_config())
    tiles = local_store(base.data).fingerprint
    seen = {experiment_fingerprint(base, tiles)}
    assert experiment_fingerprint(settled(small_config()), tiles) in seen
    for path, value in OTHERS.items():
        other = experiment_fingerprint(settled(override(small_config(), {path: value}, "test")), tiles)
        assert other not in seen, path
        seen.add(other)
    others = [experiment_fingerprint(base, "other"), experiment_fingerprint(base, tiles, ["made"])]
    assert not seen & set(others) and len(set(others)) == 2
    assert set(OTHERS) <= set(config_paths())


@pytest.mark.parametrize(
    "changes",
    [
        {"resources.num_workers": 2},
        {"resources.cpus_per_worker": 0.5},
        {"tracking.experiment": "another"},
        {"data.tile_size": 16},
        {"evaluation.extractor": "efficientnet-lite0"},
        {"gan.n_critic": 2, "gan.beta1": 0.0},
    ],
    ids=str,
)
def test_who_computes_and_what_is_said_at_length_changes_nothing(small_config, changes):
    first, second = (settled(override(small_config(), values, "test")) for values in ({}, changes))
    assert experiment_fingerprint(first, "tiles") == experiment_fingerprint(second, "tiles")


def test_where_tiles_lie_changes_nothing(small_store, tmp_path):
    synthetic = {"classification__tiles": "both", "classification__synthetic": "/a"}
    first = settled(classifiers.experiment(small_store, **synthetic))
    second = first.with_family(synthetic=str(tmp_path)).model_copy(
        update={"data": first.data.model_copy(update={"store": "elsewhere"})}
    )
    assert experiment_fingerprint(first, "tiles", ["x"]) == experiment_fingerprint(second, "tiles", ["x"])
    assert experiment_fingerprint(first, "tiles", ["x"]) != experiment_fingerprint(first, "tiles", ["y"])


def test_what_it_starts_from_counts_by_its_content(small_config):
    plain = settled(small_config())
    started = [plain.model_copy(update={"starts_from": place}) for place in ("/a", "s3://b/c")]
    found = [experiment_fingerprint(config, "tiles", start="digest") for config in started]
    assert found[0] == found[1] and found[0] not in (
        experiment_fingerprint(started[0], "tiles", start="another"),
        experiment_fingerprint(plain, "tiles"),
        experiment_fingerprint(plain, "tiles", ["digest"]),
    )
    with pytest.raises(AssertionError, match="counts by its content"):
        experiment_fingerprint(started[0], "tiles")


def test_what_experiments_start_from_is_read_once_for_all_seeds(small_store, tmp_path, monkeypatch):
    network = Classifier(ClassificationConfig(channels=8), store_shape(small_store), seed=9)
    names = {"labels": json.dumps(list(small_store.label_names))}
    a, b = (tmp_path / f"{name}.safetensors" for name in "ab")
    for path in (a, b):
        save_file(network.arrays(), path, metadata=names)
    reads = []
    monkeypatch.setattr("fedray.studies.steps.opened_start", lambda place: reads.append(place) or opened_start(place))

    def cells(path):
        entries = small_study(small_store).model_dump()["experiments"]
        entries["real"]["set"]["starts_from"] = str(path)
        return plan_study(small_study(small_store, experiments=entries), tmp_path / "out").cells

    found = cells(a)
    assert reads.count(str(a)) == 1 and {seed for _, _, seed in found} == {0, 1}
    assert cells(b) == found, "by content"
    drawn = plan_study(small_study(small_store), tmp_path / "out").cells
    assert all(found[cell] != drawn[cell] for cell in found)
    save_file({"other.x": np.zeros(2, np.float32)}, b, metadata=names)
    with pytest.raises(StartError, match="it has no classifier, which travels here"):
        cells(b)


def test_fingerprints_are_hashes_of_values_whatever_their_order():
    assert fingerprint_of({"a": 1, "b": [1.5, None]}) == fingerprint_of({"b": [1.5, None], "a": 1})
    different = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {"a": [1]}, {"b": 1}, [["a", 1]], {"a": True}]
    assert len({fingerprint_of(each) for each in different}) == len(different)
    assert all(len(fingerprint_of(each)) == 32 for each in different)
    stores = [("m", 5, 0), ("m", 6, 0), ("m", 5, 1), ("n", 5, 0)]
    stores += [("m", 5, 0, gate) for gate in (GateConfig(), GateConfig(distance=1))]
    assert len({store_fingerprint(*each) for each in stores}) == 6


def test_a_star_stands_for_all_scores_that_there_are():
    names = ["auroc/test/20", "auroc-low/test/20", "auroc/test/20/domain/a", "auroc-low/test/20/domain/a",
             "auroc/test/20/domain/b/c", "recall/test/20/label/x", "recall/test/20/label/x/domain/a",
             "auroc/external/7", "kid/lite0/64"]  # fmt: skip
    assert spelled_out(["auroc", "auroc/domain/*"], names) == ["auroc", "auroc/domain/a", "auroc/domain/b/c"]
    assert spelled_out(["recall/label/*"], names) == ["recall/label/x"]
    assert spelled_out(["recall/label/*/domain/*"], names) == ["recall/label/x/domain/a"]
    assert spelled_out(["auroc", "auroc/external*", "kid*", "fid*"], names) == ["auroc", "auroc/external", "kid"]
    assert full_name("auroc/external", names) == "auroc/external/7" and full_name("auroc", names) == names[0]


def test_a_control_is_made_after_the_tiles_in_whose_place_it_stands(small_store, tmp_path):
    stores = {"made": {"made_by": "maker", "per_label": 6, "gate": {}}, "noise": {"like": "made", "control": "noise"}}
    experiments = {**SMALL["experiments"], "controlled": {"like": "real", "synthetic": "noise"}}
    rows = [{"name": name, "experiment": name} for name in ("both", "controlled")]
    study = small_study(small_store, stores=stores, experiments=experiments, tables=[{**TABLE, "rows": rows}])
    plan = plan_study(study, tmp_path)
    controlled = plan.steps[plan.cells["t", "controlled", 1]]
    control = plan.steps[controlled.upstream[0]]
    made = plan.steps[control.upstream[0]]
    assert controlled.config.classification.synthetic == str(control.folder)
    assert (control.control, control.of, control.maker, control.seed) == ("noise", made.folder, made.maker, 1)
    assert made.gate == GateConfig() and plan.steps[plan.cells["t", "both", 1]].upstream == (made.fingerprint,)


def test_what_is_handed_out_by_the_server_is_planned_too(small_store, tmp_path):
    handed = {"like": "real", "synthetic": "made", "set": {"federation": {"mode": "fedssg", "num_clients": 2}}}
    experiments = {**SMALL["experiments"], "handed": handed}
    table = {**TABLE, "rows": [{"name": "handed", "experiment": "handed"}]}
    plan = plan_study(small_study(small_store, experiments=experiments, tables=[table]), tmp_path)
    config = plan.steps[plan.cells["t", "handed", 0]].config
    assert (config.federation.mode, config.classification.tiles) == ("fedssg", "both")


def test_a_chain_is_found_once_with_what_is_needed_first(small_store, tmp_path):
    study = small_study(small_store)
    plan = plan_study(study, tmp_path / "out")
    assert len(plan.cells) == 3 * 2
    assert [type(step) for step in plan.steps.values()].count(ExperimentStep) == 6
    assert [type(step) for step in plan.steps.values()].count(StoreStep) == 2
    assert plan.cells["classifiers", "trivial", 1] == plan.cells["classifiers", "real", 1], "cells share their step"
    seen = set()
    for step in plan.steps.values():
        assert set(step.upstream) <= seen, "what is needed comes first"
        seen.add(step.fingerprint)
        assert step.folder == (tmp_path / "out" / "steps" / step.fingerprint)
    both = plan.steps[plan.cells["classifiers", "real + made", 0]]
    made = plan.steps[both.upstream[0]]
    maker = plan.steps[made.upstream[0]]
    assert both.config.classification.synthetic == str(made.folder) and made.maker == maker.folder
    assert (made.per_label, made.seed, maker.config.seed) == (6, 0, 0)

    # the same in another folder, and what comes after a change in the chain changes with it
    elsewhere = plan_study(study, tmp_path / "elsewhere")
    assert elsewhere.cells == plan.cells
    entries = study.model_dump()["experiments"]
    entries["maker"]["set"]["gan.n_critic"] = 3
    other = plan_study(small_study(small_store, experiments=entries), tmp_path / "out")
    same = {cell for cell in plan.cells if other.cells[cell] == plan.cells[cell]}
    assert same == {cell for cell in plan.cells if cell[1] != "real + made"}


def test_tables_share_what_they_have_in_common(small_store, tmp_path):
    base = small_study(small_store).model_dump()
    second = {**base["tables"][0], "name": "again"}
    plan = plan_study(small_study(small_store, tables=[*base["tables"], second]), tmp_path)
    assert len(plan.cells) == 12 and len(plan.steps) == 8
    # by content, not by name: the very same experiment under another name
    twin = {**base["experiments"], "twin": base["experiments"]["real"]}
    rows = [{"name": "one", "experiment": "real"}, {"name": "two", "experiment": "twin"}]
    plan = plan_study(small_study(small_store, experiments=twin, tables=[{**TABLE, "rows": rows}]), tmp_path)
    assert len(plan.cells) == 4 and len(plan.steps) == 2


def test_the_reports_on_an_experiments_tiles_are_a_step_of_their_own(small_store, tmp_path):
    rows = [{"name": "made", "judged": "maker"}, {"name": "once more", "judged": "maker"}]
    plan = plan_study(small_study(small_store, tables=[{**TABLE, "scores": ["collapse"], "rows": rows}]), tmp_path)
    assert [type(step) for step in plan.steps.values()] == [ExperimentStep, JudgementStep] * 2
    judgement = plan.steps[plan.cells["t", "made", 1]]
    assert plan.cells["t", "once more", 1] == judgement.fingerprint and judgement.seed == 1
    assert judgement.maker == plan.steps[judgement.upstream[0]].folder


def planned(small_store, tmp_path, experiments=None, rows=None, **changes):
    base = small_study(small_store).model_dump()
    tables = [{**TABLE, "rows": rows or [{"name": "row", "experiment": "both"}]}]
    every = {**base["experiments"], **(experiments or {})}
    return plan_study(small_study(small_store, experiments=every, tables=tables, **changes), tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        (
            {"experiments": {"real": {"set": {"task": "classification", "classification.lr": -1}}}},
            ConfigError,
            r"classification\.lr: input should be greater than 0, but got -1",
        ),
        (
            {
                "experiments": {
                    "both": {"like": "real", "synthetic": "made", "set": {"classification.synthetic_per_real": 3}}
                }
            },
            StoreError,
            r"3 synthetic tiles for each of 20 real ones, but there are 12: raise per_label to 30",
        ),
        ({"stores": {"made": {"made_by": "real", "per_label": 2}}}, ConfigError, r"'real', which trains a classifier"),
        (
            {"experiments": {"both": {"like": "maker", "synthetic": "made"}}},
            ConfigError,
            r"section classification is for task|synthetic is for classifiers",
        ),
        (
            {"rows": [{"name": "row", "experiment": "maker"}]},
            ConfigError,
            r"'maker' has no score 'balanced-accuracy'.*it has fid",
        ),
        (
            {"rows": [{"name": "row", "judged": "maker"}]},
            ConfigError,
            r"'maker' has no score 'balanced-accuracy' \(it has memorisation, collapse, label-similarity\)",
        ),
        ({"rows": [{"name": "row", "judged": "real"}]}, ConfigError, r"has 'real' judged, which trains a classifier"),
        (
            {"experiments": {"maker": {"set": {"task": "classification"}, "synthetic": "made"}}},
            ConfigError,
            r"goes in a circle: both -> maker -> maker",
        ),
    ],
    ids=["value", "too few", "no tiles", "no classifier", "score", "no report", "not judged", "circle"],
)
def test_what_cannot_work_is_refused_before_anything_starts(small_store, tmp_path, changes, error, expected):
    with pytest.raises(error, match=expected):
        planned(small_store, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_scores_are_named_by_their_beginning():
    names = ["fid/x/16", "fid/x/16/label/a", "recall/x/16", "recall/test/9/label/b", "auroc/test/9", "auroc-low/test/9"]
    assert full_name("fid", names) == full_name("fid/x", names) == "fid/x/16"
    assert full_name("auroc", names) == "auroc/test/9"
    assert full_name("au", names) is None and full_name("kid", names) is None
    parts = [
        "f1/test/9",
        "f1/test/9/domain/b",
        "f1/external/7",
        "recall/test/9/label/b",
        "recall/test/9/label/b/domain/c",
    ]
    assert full_name("f1/external", parts) == "f1/external/7" and full_name("f1/exter", parts) is None
    assert full_name("f1/domain/b", parts) == full_name("f1/test/domain/b", parts) == "f1/test/9/domain/b"
    assert full_name("recall/label/b/domain/c", parts) == "recall/test/9/label/b/domain/c"
    assert full_name("recall/label/b", parts) == "recall/test/9/label/b" and full_name("recall", parts) is None


def test_a_step_travels(small_store, tmp_path):
    plan = plan_study(small_study(small_store), Path(tmp_path))
    for step in plan.steps.values():
        assert dataclasses.asdict(pickle.loads(pickle.dumps(step))) == dataclasses.asdict(step)
