"""The gate: its distance against KID, its limits against a plain count, and what each question says of features."""

import pickle

import numpy as np
import pytest

from fedray.config import GateConfig
from fedray.evaluation.gate import (
    CellVerdict,
    Check,
    Gate,
    GateError,
    agreement_check,
    copies_check,
    distance,
    distance_check,
    gate_table,
    real_cell,
)
from fedray.evaluation.memorisation import NearerTest, nearer_test
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import kid

NO_COPIES = Check("copies", "passed")


def normal(num: int, seed: int, mean: float = 0.0, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, (num, width)).astype(np.float32)


@pytest.fixture(scope="module")
def gate() -> Gate:
    """Two labels and two domains, told by a feature each; nobody has label 1 in domain 1."""
    labels, domains = np.repeat([0, 0, 1], 60), np.repeat([0, 1, 0], 60)
    real = Sample(shown(labels, domains, seed=0), labels, domains)
    return Gate(real, shown(labels, domains, seed=1) + 3, np.arange(180), 2, GateConfig())


def shown(labels: np.ndarray, domains: np.ndarray, seed: int) -> np.ndarray:
    return normal(len(labels), seed) + np.stack([labels * 5, domains * 5, *[labels * 0] * 6], 1).astype(np.float32)


def says(verdict: CellVerdict) -> dict[str, str]:
    return {check.name: check.says for check in verdict.checks}


def test_the_distance_is_kid_and_takes_sets_of_any_size():
    some, others = normal(60, 0), normal(60, 1, 0.5)
    assert distance(some, others) == pytest.approx(kid(some, others), rel=1e-6)
    uneven = [distance(normal(30, seed), normal(200, seed + 100)) for seed in range(40)]
    assert abs(np.mean(uneven)) < 3 * np.std(uneven) / np.sqrt(40), "unbiased: 0 for sets that are alike"


def test_halves_keep_groups_whole_and_the_floor_holds_their_difference():
    """Six patients, each of another mean: real tiles of others are far, and so may generated ones be."""
    groups = np.repeat(np.arange(6), 20)
    tiles = np.concatenate([normal(20, group, group) for group in range(6)])
    by_patient, by_tile = real_cell(tiles, tiles, groups), real_cell(tiles, tiles, np.arange(120))
    assert by_patient.high > 5 * by_tile.high
    one_patient = real_cell(tiles, tiles, np.zeros(120, np.int64))
    assert one_patient.high < by_patient.high / 5, "one patient has no halves"


def test_the_limit_is_so_much_of_the_way_to_blurred_tiles():
    real = real_cell(normal(80, 0), normal(80, 1, 2.0), np.arange(80))
    check = distance_check(normal(50, 2), real, 80, share=0.25)
    assert check.limit == pytest.approx(real.high + 0.25 * (real.blurred - real.floor))
    assert check.value == pytest.approx(distance(normal(50, 2), real.features)) and check.says == "passed"
    assert distance_check(normal(50, 2, 2.0), real, 80, share=0.25).says == "failed"
    assert distance_check(normal(50, 2, 2.0), real, 80, share=1.5).says == "passed"
    blind = real_cell(normal(80, 0), normal(80, 0), np.arange(80))
    assert "do not see a blur" in distance_check(normal(50, 2), blind, 80, share=0.25).about
    assert distance_check(normal(50, 2), None, 7, share=0.25) == Check(
        "distance", "not asked", pytest.approx(np.nan, nan_ok=True), pytest.approx(np.nan, nan_ok=True),
        "7 real tiles, 20 needed",
    )  # fmt: skip


def test_real_tiles_are_within_the_floor_and_farther_than_it_once_in_forty():
    """95 of 100 draws are between the smallest and the largest of 39 halvings, so one of 40 is above."""
    above = 0
    for seed in range(200):
        real = real_cell(normal(60, seed), normal(60, seed, 3.0), np.arange(60))
        above += distance(normal(30, 1000 + seed), real.features) > real.high
    assert above <= 12, above


def test_tiles_of_the_cell_pass_and_those_of_another_do_not(gate):
    held_out = gate.judge(0, 1, shown(np.zeros(64, int), np.ones(64, int), seed=2), NO_COPIES)
    assert held_out.passed and set(says(held_out).values()) == {"passed"} and held_out.why_not() == ""
    other_label = gate.judge(0, 0, shown(np.ones(64, int), np.zeros(64, int), seed=2), NO_COPIES)
    assert says(other_label)["label"] == "failed" and not other_label.passed
    other_domain = gate.judge(0, 0, shown(np.zeros(64, int), np.ones(64, int), seed=2), NO_COPIES)
    assert says(other_domain)["domain"] == "failed" and says(other_domain)["label"] == "passed"
    noise = gate.judge(0, 0, shown(np.zeros(64, int), np.zeros(64, int), seed=2) * 9, NO_COPIES)
    assert says(noise)["distance"] == "failed" and "distance" in noise.why_not() and "limit" in noise.why_not()
    copied = gate.judge(0, 1, shown(np.zeros(64, int), np.ones(64, int), seed=2), Check("copies", "failed", 0.5, 0.1))
    assert not copied.passed and copied.why_not() == "copies 0.5, limit 0.1"


def test_a_pair_that_nobody_has_is_judged_by_its_parts_and_that_is_said(gate):
    cells = np.repeat(np.arange(8), 30)  # of three labels and three domains all pairs but the last
    labels, domains = cells // 3, cells % 3
    tiles = normal(240, 0)
    tiles[np.arange(240), labels] += 6
    tiles[np.arange(240), 3 + domains] += 6
    wide = Gate(Sample(tiles, labels, domains), tiles + 9, np.arange(240), 3, GateConfig())

    def made(label: int, domain: int) -> np.ndarray:
        found = normal(64, 1)
        found[:, [label, 3 + domain]] += 6
        return found

    recombined = wide.judge(2, 2, made(2, 2), NO_COPIES)
    assert (recombined.num_real, recombined.passed) == (0, True)
    assert says(recombined) == {"distance": "not asked", "label": "passed", "domain": "passed", "copies": "passed"}
    assert recombined.checks[0].about == "nobody has the pair: recombined"
    half = wide.judge(2, 2, made(2, 1), NO_COPIES)
    assert says(half)["domain"] == "failed" and not half.passed
    unknown = gate.judge(1, 1, shown(np.ones(64, int), np.ones(64, int), seed=2), NO_COPIES)
    assert not unknown.passed and "in one cell alone" in unknown.why_not()


def test_what_nothing_speaks_for_is_not_handed_out():
    labels, domains = np.zeros(60, np.int64), np.repeat([0, 1], [50, 10])
    gate = Gate(Sample(normal(60, 0), labels, domains), normal(60, 1, 3.0), np.arange(60), 2, GateConfig())
    assert gate.judge(0, 0, normal(64, 2), NO_COPIES).passed, "its distance is known"
    few = gate.judge(0, 1, normal(64, 2), NO_COPIES)
    assert not few.passed and "failed" not in says(few).values()
    assert few.why_not().startswith("nothing says that it is good (distance: 10 real tiles, 20 needed; label: ")


def test_shares_are_held_against_the_recall_of_real_tiles(gate):
    made = shown(np.ones(64, int), np.zeros(64, int), seed=4)
    check = agreement_check("label", made, 1, 2, gate._by_label, 0.75)
    assert check.limit == pytest.approx(0.75 * gate._by_label.of_cells[2].share)
    assert check.says == "passed" and "chance 0.5" in check.about
    assert agreement_check("domain", made, 1, 2, None, 0.75).says == "not asked"


def test_copies_are_an_alarm_of_any_space_and_the_limit_is_the_last_number_that_is_none():
    held_out, rng = np.linspace(0.5, 1, 100), np.random.default_rng(0)
    copied = nearer_test(np.concatenate([np.zeros(20), rng.uniform(0.6, 1, 80)]), held_out, 0.01)
    clear = nearer_test(rng.uniform(0.6, 1, 100), held_out, 0.01)
    check = copies_check({"pixels": clear, "features": copied}, 100)
    assert (check.says, check.value) == ("failed", 0.2) and "features" in check.about
    assert check.limit == (copied.alarming - 1) / 100 < 0.2
    assert copies_check({"pixels": clear}, 100).says == "passed"
    last = copies_check({"pixels": NearerTest(0.5, 9, 10)}, 100)
    assert (last.says, last.value, last.limit) == ("passed", 0.09, 0.09)
    assert copies_check({"pixels": NearerTest(0.5, 10, 10)}, 100).says == "failed"
    assert copies_check({}, 9, "no held-out tiles").about == "no held-out tiles"


def test_the_table_has_every_answer_and_the_error_survives_pickle(gate):
    verdicts = [gate.judge(0, 0, shown(np.zeros(64, int), np.zeros(64, int), seed=3), NO_COPIES)]
    table = gate_table(verdicts, ["a", "b"], ["x", "y"])
    assert table["check"].tolist() == ["distance", "label", "domain", "copies"] and table["handed out"].all()
    assert table[["label", "domain"]].drop_duplicates().to_numpy().tolist() == [["a", "x"]]
    assert table["real tiles"].unique().tolist() == [60] and table["judged tiles"].unique().tolist() == [64]
    assert str(pickle.loads(pickle.dumps(GateError("no cell passed")))) == "no cell passed"
