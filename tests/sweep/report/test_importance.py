"""Importances: against Optuna called directly, against a formula, and against chance."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from fedray.sweep.report.importance import FANOVA, FEWEST, PED_ANOVA, Compared, compared, importances, num_best
from fedray.sweep.report.words import order_of, what_mattered

RANGES = {
    "steep": FloatDistribution(0.0, 1.0),
    "flat": FloatDistribution(-1.0, 1.0),
    "nothing": CategoricalDistribution(("a", "b")),
}


def study_of(num: int, score, ranges=RANGES, direction: str = "minimize") -> optuna.Study:
    """Return a study of trials all over a space."""
    random = np.random.default_rng(num)

    def drawn(of):
        if isinstance(of, CategoricalDistribution):
            return of.choices[random.integers(len(of.choices))]
        if isinstance(of, IntDistribution):
            return int(random.integers(of.low, of.high + 1))
        if of.log:
            return float(10 ** random.uniform(math.log10(of.low), math.log10(of.high)))
        return float(random.uniform(of.low, of.high))

    study = optuna.create_study(direction=direction)
    for _ in range(num):
        params = {name: drawn(of) for name, of in ranges.items()}
        study.add_trial(create_trial(value=score(params), params=params, distributions=dict(ranges)))
    return study


def table(study: optuna.Study, draws: int = 2):
    [whole] = compared(study)
    return importances(whole, seed=0, draws=draws).set_index(["method", "parameter"])


def test_the_planted_value_is_first_by_both_and_beyond_chance_and_what_did_nothing_is_not():
    rows = table(study_of(40, lambda p: 9 * p["steep"] + 0.5 * p["flat"]), draws=20).reset_index()
    for method in (FANOVA, PED_ANOVA):
        found = rows[rows["method"] == method]
        assert found["parameter"].iloc[0] == "steep"
        assert found["importance"].iloc[0] > found["chance"].iloc[0]
        assert (found["low"] <= found["high"]).all()
        nothing = found[found["parameter"] == "nothing"].iloc[0]
        assert nothing["importance"] < 0.1
    assert order_of(rows)[0] == "steep"
    assert what_mattered(rows).startswith("steep mattered: both methods find more than chance reaches.")


def test_fanova_gives_the_shares_of_the_variance_of_a_sum():
    """Of a x + b y, with x uniform in [0, 1] and y in [-1, 1], x has a^2 / (a^2 + 4 b^2) of the variance."""
    rows = table(study_of(100, lambda p: 3.0 * p["steep"] + 0.75 * p["flat"]))
    share = 3.0**2 / (3.0**2 + 4 * 0.75**2)
    assert rows.loc[(FANOVA, "steep"), "importance"] == pytest.approx(share, abs=0.06)
    assert rows.loc[(FANOVA, "flat"), "importance"] == pytest.approx(1 - share, abs=0.06)


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_ped_anova_is_optunas(direction, sign):
    study = study_of(80, lambda p: sign * (3.0 * p["steep"] + p["flat"] ** 2), direction=direction)
    expected = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.1))
    rows = table(study)
    assert num_best(80) == 8
    assert {name: rows.loc[(PED_ANOVA, name), "importance"] for name in expected} == pytest.approx(expected)


def test_a_logarithmic_range_counts_by_its_logarithm():
    """Of a linear one the lower nine tenths of the decades would be a hundredth of the space."""
    ranges = RANGES | {"lr": FloatDistribution(1e-5, 1e-1, log=True)}
    rows = table(study_of(100, lambda p: math.log10(p["lr"]) ** 2 + p["steep"], ranges))
    variances = {"lr": np.var(np.linspace(-5, -1, 10_001) ** 2), "steep": 1 / 12}
    share = variances["lr"] / sum(variances.values())
    assert rows.loc[(FANOVA, "lr"), "importance"] == pytest.approx(share, abs=0.06)


def test_of_few_trials_chance_reaches_far_and_the_words_say_so():
    rows = table(study_of(7, lambda p: hash(p["steep"]) % 97, RANGES), draws=20).reset_index()
    assert rows[rows["method"] == FANOVA]["chance"].max() > 0.4
    assert "7 trials say too little about 3 values" in what_mattered(rows[rows["importance"] < rows["chance"]])


@pytest.mark.parametrize("num", [0, 1, FEWEST - 1])
def test_of_fewer_trials_nothing_is_said(num):
    rows = importances(compared(study_of(num, lambda p: p["steep"]))[0], seed=0)
    assert rows.empty and "fewer than 5 trials" in what_mattered(rows)


def test_trials_that_all_score_alike_say_nothing():
    assert importances(compared(study_of(20, lambda p: 3.0))[0], seed=0).empty


def test_the_same_trials_have_the_same_importance():
    study = study_of(12, lambda p: p["steep"])
    assert table(study).equals(table(study))


def stopped(values, params, state=TrialState.PRUNED):
    return create_trial(
        state=state, value=values[max(values)] if state is TrialState.COMPLETE else None, params=params,
        distributions={"x": FloatDistribution(0.0, 1.0)}, intermediate_values=values,
    )  # fmt: skip


def test_stopped_trials_compare_at_the_last_round_that_all_reached():
    study = optuna.create_study()
    ends = [({2: 9.0, 4: 7.0, 6: 5.0}, TrialState.COMPLETE), ({2: 8.0, 4: 8.5}, TrialState.PRUNED),
            ({2: 3.0}, TrialState.PRUNED), ({}, TrialState.FAIL)]  # fmt: skip
    for place, (values, state) in enumerate(ends):
        study.add_trial(stopped(values, {"x": place / 4}, state))
    early, final = compared(study)
    assert (early.round_index, list(early.scores)) == (2, [9.0, 8.0, 3.0])
    assert (final.round_index, list(final.scores)) == (None, [5.0])
    assert early.words == "the score after round 2"


def test_ranges_that_changed_on_the_way_and_values_that_some_lack_are_taken():
    study = study_of(15, lambda p: p["steep"], {"steep": FloatDistribution(0.0, 1.0)})
    for place in range(15):
        ranges = {"steep": FloatDistribution(0.0, 2.0), "more": IntDistribution(1, 5)}
        params = {"steep": 2 * place / 15, "more": 1 + place % 5}
        study.add_trial(create_trial(value=params["steep"], params=params, distributions=ranges))
    rows = table(study)
    assert set(rows.loc[FANOVA].index) == {"steep"}, "what some lack is no part of a forest"
    assert set(rows.loc[PED_ANOVA].index) == {"steep", "more"}
    assert rows.loc[(FANOVA, "steep"), "importance"] > 0.9


def test_the_higher_the_better_is_turned_round():
    of = Compared(None, study_of(2, lambda p: 1.0).trials, [1.0, 2.0], "max")
    assert of.costs.tolist() == [-1.0, -2.0]
