"""Samplers find the optimum of a known function through the real Tune, and are refused where they cannot serve."""

from itertools import product
from math import log10
from statistics import median

import numpy as np
import pytest

from fedray.sweep import SearchSpace
from fedray.sweep.samplers import SAMPLERS
from fedray.sweep.searcher import OptunaSearcher
from tests.support.quick_trials import quick_sweep, sweep_here

METRIC = "fid/efficientnet-lite0/64"
RATES = {
    name: {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}
    for name in ("gan.generator_lr", "gan.discriminator_lr")
}
CHOICE = {"gan.clip_norm": {"type": "choice", "values": [None, 1.0]}}
STEPS = {
    "gan.dropout": {"type": "float", "low": 0.0, "high": 0.6, "step": 0.2},
    "gan.n_critic": {"type": "int", "low": 1, "high": 7, "step": 3},
    **CHOICE,
}
SEARCHED = {"cmaes": RATES, "grid": STEPS}
LEARNING = [name for name in SAMPLERS if name not in ("random", "grid")]


def space(sampler, search, num_trials=28, **changes):
    return SearchSpace.model_validate(
        {
            "name": "known",
            "fixed": {"federation": {"num_rounds": 1}},
            "search": search,
            "goal": {"metric": METRIC},
            "num_trials": num_trials,
            "sampler": sampler,
            "early_stopping": "none",
        }
        | changes
    )


def known_function():
    """Best at 0: rates of 1e-3 and 1e-2, whose range is four decades each, and no clipping."""
    metric = METRIC

    def scores(values, round_index):
        rates = (log10(values["gan.generator_lr"]) + 3) ** 2 + (log10(values["gan.discriminator_lr"]) + 2) ** 2
        return {metric: rates + (values.get("gan.clip_norm") is not None)}

    return scores


@pytest.fixture(scope="module")
def tried(ray_session, tmp_path_factory):
    """Return ``tried(sampler)``: the scores of its trials in their order, run once."""
    known = {}

    def tried(sampler):
        if sampler not in known:
            search = SEARCHED.get(sampler, RATES | CHOICE)
            searcher = quick_sweep(space(sampler, search), known_function(), tmp_path_factory.mktemp("sweep") / sampler)
            known[sampler] = [trial.value for trial in searcher.study.trials]
        return known[sampler]

    return tried


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_the_optimums_region_is_found(tried, sampler):
    """A half decade around the best rates: a twentieth of the space, and half of that with the best choice."""
    assert len(tried(sampler)) == 28
    assert min(tried(sampler)) < 0.25 + (sampler == "random")


@pytest.mark.parametrize("sampler", LEARNING)
def test_what_was_seen_is_learnt_from(tried, sampler):
    assert median(tried(sampler)[-10:]) < 0.75 * median(tried("random"))


def test_a_grid_tries_every_combination_once_in_the_order_of_the_file():
    def scores(values, round_index):
        off = (values["gan.dropout"] - 0.4) ** 2 + values["gan.n_critic"]
        return {METRIC: off + (values["gan.clip_norm"] is not None)}

    searcher = sweep_here(space("grid", STEPS, 24), scores)
    expected = list(product((0.0, 0.2, 0.4, 0.6), (1, 4, 7), (None, 1.0)))
    assert [tuple(trial.params[path] for path in STEPS) for trial in searcher.study.trials] == expected
    assert searcher.study.best_params == {"gan.dropout": 0.4, "gan.n_critic": 1, "gan.clip_norm": None}


@pytest.mark.parametrize(
    ("sampler", "search", "num_trials", "changes", "problems"),
    [
        ("tpee", RATES, 9, {}, ["sampler must be one of tpe, tpe-independent,", "got 'tpee'; did you mean 'tpe'?"]),
        (
            "cmaes",
            RATES | CHOICE,
            9,
            {},
            [
                "sampler cmaes cannot search known: it searches numbers alone, no choices (gan.clip_norm)",
                "it learns from 7 complete trials at a time where 3 paths are searched, so num_trials must be >= 15",
            ],
        ),
        ("nsgaii", RATES, 7, {}, ["it learns from generations, so num_trials must be >= 8, but got 7"]),
        (
            "grid",
            RATES,
            9,
            {"start_points": [dict.fromkeys(RATES, 1e-3)]},
            [
                "it needs values to list: give a step, or a choice of values (gan.generator_lr, gan.discriminator_lr)",
                "it tries every combination, so start_points must be left out",
            ],
        ),
        ("grid", STEPS, 23, {}, ["num_trials must be 24, all 24 combinations, but got 23"]),
    ],
)
def test_what_a_sampler_cannot_search_is_refused_with_all_reasons(sampler, search, num_trials, changes, problems):
    with pytest.raises(ValueError) as caught:
        space(sampler, search, num_trials, **changes)
    for problem in problems:
        assert problem in str(caught.value)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_goes_on_after_a_restart_as_if_nothing_had_happened(sampler, tmp_path):
    num_trials = {"cmaes": 16, "grid": 24}.get(sampler, 10)
    small = space(sampler, SEARCHED.get(sampler, RATES | CHOICE), num_trials)
    whole, stopped = OptunaSearcher(small), OptunaSearcher(small)
    scores = np.random.default_rng(0).normal(size=num_trials)
    for number in range(num_trials):
        assert whole.suggest(f"t{number}") == stopped.suggest(f"t{number}")
        for searcher in (whole, stopped):
            result = {METRIC: scores[number], "training_iteration": 1, "completed": True}
            searcher.on_trial_complete(f"t{number}", result)
        if number % 3 == 2:
            stopped.save(str(tmp_path / "state"))
            stopped = OptunaSearcher(small)
            stopped.restore(str(tmp_path / "state"))
