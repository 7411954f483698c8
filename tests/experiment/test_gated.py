"""The gate on real tiles: noise, wrong labels and copies stay behind it, held-out real tiles pass, of any sampler."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from fedray.config import DataConfig, EvaluationConfig, GateConfig
from fedray.data import ImportOptions, import_csv, open_store
from fedray.evaluation.destruction import permute_labels
from fedray.evaluation.gate import Check, GateError
from fedray.evaluation.memorisation import orientations
from fedray.experiment.gated import StoreGate, check_passed, keep_table, origin_of_gate, refusals, through_gate
from fedray.results.finished import Finished
from fedray.results.generating import Cell, batch, generated
from tests.support.left import leave

SOME = GateConfig(tiles=48)


class Given:
    """A sampler that hands out tiles of a list, turned by what the noise says: never the same twice."""

    def __init__(self, tiles: np.ndarray) -> None:
        self.tiles = tiles

    def sample(self, labels, random, domains=None):
        chosen = torch.randint(len(self.tiles), (len(labels),), generator=random).numpy()
        return self.tiles[chosen]


@pytest.fixture(scope="module")
def colon(cache):
    """Its training tiles, without one of the labels in one of three domains."""
    store = open_store(DataConfig(tile_size=32, num_domains=3))
    train = store.indices("train")
    learned = train[(store.labels[train] == 0) | (store.domains[train] != 1)]
    return StoreGate.prepare(store, learned, EvaluationConfig(), SOME)


def of(store, split, label, domain):
    indices = store.indices(split)
    return store.tiles(indices[(store.labels[indices] == label) & (store.domains[indices] == domain)])


@pytest.mark.parametrize(("label", "domain"), [(0, 0), (1, 0)])
def test_held_out_tiles_pass_and_noise_wrong_labels_and_copies_do_not(colon, label, domain):
    store, rng = colon.real.store, np.random.default_rng(0)
    real = of(store, "test", label, domain)[:48]
    assert colon.judge(label, domain, real).passed
    noise = rng.integers(0, 256, real.shape, dtype=np.uint8)
    assert "distance" in colon.judge(label, domain, noise).why_not()
    assert "label" in colon.judge(label, domain, of(store, "test", 1 - label, domain)[:48]).why_not()
    copies = orientations(of(store, "train", label, domain)[:48])[5]
    assert colon.judge(label, domain, copies).why_not().startswith("copies 1, limit 0.")


def test_a_pair_that_no_client_has_is_recombined_though_the_store_has_it(colon):
    real = colon.judge(1, 1, of(colon.real.store, "test", 1, 1)[:48])
    assert (real.num_real, real.checks[0].says, real.passed) == (0, "not asked", True)
    assert real.checks[2].says == "not asked", "real tiles of pairs held back are not told by their domain"
    assert "label" in colon.judge(1, 1, of(colon.real.store, "test", 0, 1)[:48]).why_not()


def test_real_colorectal_tiles_pass_and_noise_and_permuted_labels_do_not(colorectal, tmp_path):
    store = import_csv(colorectal / "metadata.csv", ImportOptions(size=32, out=tmp_path / "store")).store
    train, test = store.indices("train"), store.indices("test")
    labels, rng = store.labels[test], np.random.default_rng(0)
    gate = StoreGate.prepare(store, train, EvaluationConfig(), GateConfig())
    tiles = gate.extractor.features(store.tiles(test), gate.device)
    noise = gate.extractor.features(rng.integers(0, 256, (48, 32, 32, 3), dtype=np.uint8), gate.device)
    wrong = tiles[permute_labels(labels, rng)]
    passed = Check("copies", "passed")
    for label, domain in ((0, 2), (1, 0)):
        cell = (labels == label) & (store.domains[test] == domain)
        assert gate.gate.judge(label, domain, tiles[cell], passed).passed
        assert not gate.gate.judge(label, domain, wrong[cell], passed).passed
        assert not gate.gate.judge(label, domain, noise, passed).passed


def test_any_sampler_goes_through_and_the_same_tiles_come_out(colon, tmp_path):
    store = colon.real.store
    sampler = Given(of(store, "test", 0, 0))
    cells, seen = [Cell(0, 0, 60), Cell(0, 1, 20), Cell(1, 0, 300)], []
    gated = through_gate(colon, sampler, cells, 3, seen.append)
    assert gated.passed == cells[:1] and gated.begun.keys() == {cells[0]} and seen == gated.verdicts
    assert [verdict.num_judged for verdict in seen] == [48, 48, 48], "of a cell that wants fewer, more are made"
    assert np.array_equal(gated.begun[cells[0]], batch(sampler, cells[0], 0, 60, 3))
    assert [line.partition(":")[0] for line in refusals(colon, gated)] == ["gland/pale-dab", "stroma/original"]
    check_passed(colon, gated)
    kept = keep_table(gated.table, tmp_path / "deep" / "made")
    assert kept.name == "made.gate.parquet"
    again = pd.read_parquet(kept)
    assert again["wanted tiles"].tolist() == [60] * 4 + [20] * 4 + [300] * 4
    origin = json.loads(json.dumps(origin_of_gate(colon, gated)))["gate"]
    assert origin["limits"] == SOME.model_dump() and len(origin["cells"]) == 12
    assert {row["label"] for row in origin["cells"] if row["handed out"]} == {"gland"}
    nothing = through_gate(colon, sampler, cells[2:], 3)
    with pytest.raises(GateError, match=r"no cell passed the gate.*stroma/original: .*label 0"):
        check_passed(colon, nothing)


def test_of_a_run_the_tiles_of_its_clients_are_the_real_ones(small_config, new_database, tmp_path):
    config = small_config(partition__scheme="majority-label", partition__majority_share=1.0)
    finished = Finished.open(leave(config, tmp_path / "run", new_database(tmp_path)).folder)
    gate = StoreGate.of_run(finished, SOME)
    gated = through_gate(gate, finished.sampler(), [Cell(0, 0, 9), Cell(1, 0, 9)], 0)
    assert [verdict.num_real for verdict in gated.verdicts] == [10, 10]
    assert {check.about for verdict in gated.verdicts for check in verdict.checks if check.name == "distance"} == {
        "10 real tiles, 20 needed"
    }
    tiles = [tile.image for tile in generated(finished, [Cell(0, 0, 9)], 0)]
    begun = {Cell(0, 0, 9): np.zeros((9, 16, 16, 3), np.uint8)}
    assert np.stack([tile.image for tile in generated(finished, [Cell(0, 0, 9)], 0, begun=begun)]).max() == 0
    assert np.array_equal(np.stack(tiles), batch(finished.sampler(), Cell(0, 0, 9), 0, 9, 0))
    with pytest.raises(GateError, match="has others than"):
        StoreGate.of_run(finished, SOME, data=DataConfig(store="colon"))
