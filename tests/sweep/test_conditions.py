"""Conditions and constraints against every combination of a tiny space, and through the real Tune."""

from io import StringIO
from itertools import product
from math import log10

import pandas as pd
import pytest
from rich.console import Console

from fedray.cli.trials import print_trials
from fedray.sweep import SearchSpace
from fedray.sweep.conditions import active, combinations, contexts
from fedray.sweep.constraints import Constraint
from fedray.sweep.results import SweepResult, trial_params, trial_table, write_results
from fedray.sweep.searcher import OptunaSearcher
from tests.support.quick_trials import quick_sweep, sweep_here

METRIC, GLAND = "fid/efficientnet-lite0/64", "kid/efficientnet-lite0/64/label/gland"
TINY = {
    "gan.penalty": {"type": "choice", "values": ["none", "gradient", "r1"]},
    "gan.minibatch_stddev": {"type": "choice", "values": [True, False], "when": {"gan.penalty": "none"}},
    "gan.gradient_penalty": {
        "type": "float", "low": 0.5, "high": 1.5, "step": 0.5, "when": {"gan.penalty": ["gradient", "r1"]}
    },
    "gan.clip_norm": {
        "type": "choice", "values": [None, 1.0], "when": {"gan.penalty": "r1", "gan.gradient_penalty": [0.5, 1.5]}
    },
    "gan.n_critic": {"type": "int", "low": 1, "high": 2},
}  # fmt: skip


def space(search=TINY, **changes):
    return SearchSpace.model_validate(
        {
            "name": "tiny",
            "fixed": {"federation": {"num_rounds": 1}},
            "search": search,
            "goal": {"metric": METRIC},
            "num_trials": 20,
            "early_stopping": "none",
        }
        | changes
    )


def brute_force():
    """Every combination that the conditions above leave, said once more by hand."""
    found = []
    for penalty, stddev, weight, clip, critic in product(
        ("none", "gradient", "r1"), (True, False), (0.5, 1.0, 1.5), (None, 1.0), (1, 2)
    ):
        values = {"gan.penalty": penalty}
        if penalty == "none":
            values["gan.minibatch_stddev"] = stddev
        else:
            values["gan.gradient_penalty"] = weight
        if penalty == "r1" and weight != 1.0:
            values["gan.clip_norm"] = clip
        values["gan.n_critic"] = critic
        if values not in found:
            found.append(values)
    return found


def test_the_combinations_are_those_of_brute_force_each_once():
    search = space().search
    found = combinations(search)
    assert len(found) == len(brute_force()) == 20 and all(values in brute_force() for values in found)
    for values in found:
        assert active(search, values) == values
        space().trial_config(values)  # the shipped rules of the configuration hold for each


def test_every_path_is_had_with_every_context_that_is_listed():
    search = space().search
    for path, dimension in search.items():
        for context in contexts(search, path):
            for value in dimension.examples():
                assert active(search, context | {path: value}) == context | {path: value}
    assert list(contexts(search, "gan.clip_norm")) == [
        {"gan.penalty": "r1", "gan.gradient_penalty": weight} for weight in (0.5, 1.5)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"when": {"gan.penalti": "none"}}, "search.gan.n_critic.when: gan.penalti is not searched; did you mean"),
        ({"when": {"gan.n_critic": 1}}, "search.gan.n_critic.when: gan.n_critic must stand before gan.n_critic"),
        ({"when": {"gan.penalty": ["none", "l2"]}}, "when: gan.penalty is never l2 (its range is none, gradient, r1)"),
        (
            {"when": {"gan.penalty": "none", "gan.gradient_penalty": 1.0}},
            "search.gan.n_critic.when: its conditions exclude each other",
        ),
    ],
)
def test_conditions_that_are_never_met_are_refused(changes, expected):
    with pytest.raises(ValueError) as caught:
        space(TINY | {"gan.n_critic": TINY["gan.n_critic"] | changes})
    assert expected in str(caught.value)


def test_a_value_is_judged_with_those_that_its_conditions_ask_for():
    without = {name: value for name, value in TINY["gan.minibatch_stddev"].items() if name != "when"}
    with pytest.raises(ValueError, match=r"minibatch_stddev must be off with gan\.penalty 'gradient'"):
        space({"gan.minibatch_stddev": without, "gan.n_critic": TINY["gan.n_critic"]})


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"gan.penalty": "none", "gan.n_critic": 1}, "start_points[0] lacks a value for gan.minibatch_stddev"),
        (
            {"gan.penalty": "gradient", "gan.gradient_penalty": 1.0, "gan.n_critic": 1, "gan.clip_norm": None},
            "gan.clip_norm is not searched with these values (when: gan.penalty is r1, gan.gradient_penalty is 0.5 or",
        ),
    ],
)
def test_a_start_point_has_what_its_own_values_ask_for(point, expected):
    with pytest.raises(ValueError) as caught:
        space(start_points=[point])
    assert expected in str(caught.value)


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsgaii"])
def test_samplers_that_model_no_conditions_are_refused(sampler):
    with pytest.raises(ValueError, match=r"would draw what has conditions at random \(gan\.minibatch_stddev, "):
        space(sampler=sampler)


def test_a_grid_with_conditions_constraints_goals_and_seeds_is_brute_force_through_tune(ray_session, tmp_path):
    metric, gland, coverage = METRIC, GLAND, "coverage/efficientnet-lite0/64"

    def scores(values, round_index):
        weight = values.get("gan.gradient_penalty", 0.1)
        fid = weight + (values.get("gan.clip_norm") is not None) + 0.1 * values["seed"]
        bounded = 2.0 / weight - (values["gan.penalty"] == "r1") + 0.2 * values["seed"]
        return {metric: fid, gland: bounded, coverage: weight - 0.01 * values["seed"]}

    def means(values):
        runs = [scores(values | {"seed": seed}, 1) for seed in (0, 1)]
        return {name: (runs[0][name] + runs[1][name]) / 2 for name in runs[0]}

    goals = [{"metric": METRIC}, {"metric": coverage, "mode": "max"}]
    search = {path: dimension for path, dimension in TINY.items() if path != "gan.n_critic"}
    several = {"goals": goals, "seeds": 2, "num_trials": 20, "search": search}
    combinations_by_hand = [{path: values[path] for path in values if path in search} for values in brute_force()[::2]]
    small = SearchSpace.model_validate(
        {**space(sampler="grid").model_dump(), **several, "constraints": [f"{GLAND} <= 2.5"]}
    )
    searcher = quick_sweep(small, scores, tmp_path / "sweep", max_concurrent=2)
    runs = [(*trial.params.items(), trial.user_attrs["seed"]) for trial in searcher.runs.trials]
    assert len(set(runs)) == len(runs) == 20
    tried = [trial.params for trial in searcher.study.trials]
    assert len(tried) == 10 and all(tried.count(values) == 1 for values in combinations_by_hand)

    kept = [values for values in combinations_by_hand if means(values)[gland] <= 2.5]
    pairs = [(means(values)[metric], -means(values)[coverage]) for values in kept]
    beaten = [any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in pairs) for a in pairs]
    front = [values for values, is_beaten in zip(kept, beaten, strict=True) if not is_beaten]
    assert 1 < len(front) < len(kept) < 10
    table = trial_table(small, searcher).drop_duplicates("configuration")
    params = [dict(searcher.study.trials[number].params) for number in table["configuration"]]
    assert {number for number, values in enumerate(params) if values in front} == set(range(len(front)))
    assert table["front"].tolist() == [True] * len(front) + [False] * (10 - len(front))
    assert params[0] == min(front, key=lambda values: means(values)[metric])
    assert table["excess"].tolist() == pytest.approx([max(0.0, means(each)[gland] - 2.5) / 2.5 for each in params])
    optunas = [trial.params for trial in searcher.study.best_trials]
    assert len(optunas) == len(front) and all(values in front for values in optunas)


def test_the_best_of_a_constrained_grid_is_that_of_brute_force():
    def scores(values, round_index):
        weight = values.get("gan.gradient_penalty", 0.1)
        fid = weight + values["gan.n_critic"] + (values.get("gan.clip_norm") is not None)
        return {METRIC: fid, GLAND: 2.0 / weight - (values["gan.penalty"] == "r1")}

    small = space(sampler="grid", constraints=[f"{GLAND} <= 2.5"])
    searcher = sweep_here(small, scores)
    table = trial_table(small, searcher)
    kept = [values for values in brute_force() if scores(values, 1)[GLAND] <= 2.5]
    best = min(kept, key=lambda values: scores(values, 1)[METRIC])
    assert trial_params(small, table["number"].iloc[0], table) == best
    assert min(scores(values, 1)[METRIC] for values in brute_force()) < scores(best, 1)[METRIC]
    assert (table["excess"] == 0).sum() == len(kept) and table["excess"].is_monotonic_increasing
    for row in table.to_dict("records"):
        values = trial_params(small, row["number"], table)
        assert row["excess"] == pytest.approx(max(0.0, scores(values, 1)[GLAND] - 2.5) / 2.5)
    assert searcher.study.best_params == best  # Optuna's own idea of it


def test_tpe_learns_conditions_and_constraints():
    rate = {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}
    search = {
        "gan.penalty": TINY["gan.penalty"],
        "gan.generator_lr": rate,
        "gan.discriminator_lr": rate | {"when": {"gan.penalty": ["gradient", "r1"]}},
    }

    def scores(values, round_index):
        second = values.get("gan.discriminator_lr")
        fid = (log10(values["gan.generator_lr"]) + 3) ** 2 + (3.0 if second is None else (log10(second) + 2) ** 2)
        return {METRIC: fid, GLAND: 10 * log10(values["gan.generator_lr"])}

    small = space(search, sampler="tpe", num_trials=36, constraints=[f"{GLAND} >= -20"])
    searcher = sweep_here(small, scores)
    for trial in searcher.study.trials:
        assert ("gan.discriminator_lr" in trial.params) == (trial.params["gan.penalty"] != "none")
    kept = [scores(trial.params, 1)[GLAND] >= -20 for trial in searcher.study.trials]
    assert sum(kept[-12:]) > 6  # a quarter of the rates keeps the constraint, without the best one
    assert 1.0 <= searcher.study.best_trial.value < 1.75


def test_the_table_tells_null_from_what_a_trial_does_not_have(tmp_path):
    small, searcher = space(sampler="grid"), OptunaSearcher(space(sampler="grid"))
    for number in range(20):
        searcher.suggest(f"t{number}")
        score = {METRIC: float(number), "training_iteration": 1, "completed": True}
        searcher.on_trial_complete(f"t{number}", score)
    result = SweepResult(small, trial_table(small, searcher), tmp_path)
    write_results(result)
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert [trial_params(small, number, table) for number in range(20)] == combinations(small.search)
    text = StringIO()
    print_trials(Console(file=text, width=200), result)
    rows = {line.split()[0]: line.split() for line in text.getvalue().splitlines() if line.startswith("t")}
    for number, values in enumerate(combinations(small.search)):
        shown = {None: "null", 1.0: "1"}[values["gan.clip_norm"]] if "gan.clip_norm" in values else None
        assert ("null" in rows[f"t{number}"]) == (shown == "null")
        assert len(rows[f"t{number}"]) == 4 + len(values)


def test_a_table_without_a_trial_that_keeps_the_constraints_says_so(tmp_path):
    small = space(sampler="grid", constraints=[f"{GLAND} <= -1"])
    searcher = OptunaSearcher(small)
    for number in range(20):
        searcher.suggest(f"t{number}")
        score = {METRIC: float(number), GLAND: 20.0 - number, "training_iteration": 1, "completed": True}
        searcher.on_trial_complete(f"t{number}", score)
    result = SweepResult(small, trial_table(small, searcher), tmp_path)
    assert not result.keeps_constraints and result.best["trial"] == "t19"
    text = StringIO()
    print_trials(Console(file=text, width=200), result)
    assert f"No complete trial keeps the constraints ({GLAND} <= -1); the first comes closest." in text.getvalue()
    assert text.getvalue().count("infeasible") == 20


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("kid/x/64/label/gland <= 5", (GLAND.replace("efficientnet-lite0", "x"), "<=", 5.0)),
        ("  coverage/x/64>=0.4 ", ("coverage/x/64", ">=", 0.4)),
        ("kid/x/64/label/Ki67 <= 14% <= -1e-3", ("kid/x/64/label/Ki67 <= 14%", "<=", -1e-3)),
    ],
)
def test_a_constraint_is_read_and_written(text, parsed):
    assert Constraint.parse(text) == parsed
    assert Constraint.parse(str(Constraint.parse(text))) == parsed


@pytest.mark.parametrize("text", ["kid/x/64", "kid/x/64 < 5", "<= 5", "kid/x/64 <= five", "kid/x/64 <= nan", ""])
def test_what_is_no_constraint_is_refused_with_the_form(text):
    with pytest.raises(ValueError, match=r"constraints\[0\] must be a score, <= or >=, and a number, but got"):
        space(constraints=[text])


def test_a_score_of_a_constraint_that_is_no_number_fails_its_trial():
    searcher = OptunaSearcher(space(sampler="grid", constraints=[f"{GLAND} <= 1"]))
    searcher.suggest("t")
    searcher.on_trial_complete("t", {METRIC: 1.0, GLAND: float("nan"), "training_iteration": 1, "completed": True})
    assert searcher.study.trials[0].state.name == "FAIL"
