"""Several seeds a configuration: judged by all of them, against scipy and by hand, and through the real Tune."""

from io import StringIO
from itertools import product

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from fedray.cli.trials import print_trials
from fedray.sweep import SearchSpace
from fedray.sweep.configurations import configuration_table
from fedray.sweep.results import SweepResult, trial_params, trial_table, write_results
from fedray.sweep.searcher import OptunaSearcher
from tests.support.quick_trials import sweep_here

FID = "fid/efficientnet-lite0/64"
SETTINGS = {
    "partition.scheme": {"type": "choice", "values": ["iid", "dirichlet"]},
    "federation.strategy": {"type": "choice", "values": ["fedavg", "fedprox"]},
}
RATES = {"gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}


def space(search=SETTINGS, **changes):
    return SearchSpace.model_validate(
        {
            "name": "cells",
            "fixed": {"seed": 7, "federation": {"num_rounds": 2}},
            "search": search,
            "goal": {"metric": FID},
            "num_trials": 12,
            "seeds": 3,
            "sampler": "grid",
            "early_stopping": "none",
        }
        | changes
    )


def lucky_seeds():
    """Skewed tiles are worse, and the one seed that scores best of all has a configuration that is not the best."""
    fid = FID

    def scores(values, round_index):
        level = 10.0 * (values["partition.scheme"] == "dirichlet") + 2.0 * (values["federation.strategy"] == "fedprox")
        spread = 3.0 if values["federation.strategy"] == "fedprox" else 0.5
        return {fid: 50.0 + level + spread * (values["seed"] - 8) + 1.0 / round_index}

    return scores


def test_a_grid_of_settings_has_mean_spread_and_interval_in_each_cell(tmp_path):
    small, scores = space(), lucky_seeds()
    searcher = sweep_here(small, scores)
    trials = trial_table(small, searcher)
    assert len(trials) == 12 and sorted(trials["seed"]) == sorted([7, 8, 9] * 4)
    cells = configuration_table(small, trials).set_index(list(SETTINGS))
    assert len(cells) == 4 and list(cells["seeds"]) == [3] * 4
    for scheme, strategy in product(("iid", "dirichlet"), ("fedavg", "fedprox")):
        told = [
            scores({"partition.scheme": scheme, "federation.strategy": strategy, "seed": seed}, 2)[FID]
            for seed in (7, 8, 9)
        ]
        cell = cells.loc[(scheme, strategy)]
        low, high = stats.t.interval(0.95, 2, loc=np.mean(told), scale=stats.sem(told))
        found = [cell[f"{name}/{FID}"] for name in ("mean", "sd", "low", "high")]
        assert found == pytest.approx([np.mean(told), np.std(told, ddof=1), low, high])
    means = cells[f"mean/{FID}"]
    assert means.is_monotonic_increasing and list(means.index[0]) == ["iid", "fedavg"]
    luckiest = trials.loc[trials["score"].idxmin()]
    assert luckiest["federation.strategy"] == "fedprox"  # and yet:
    result = SweepResult(small, trials, tmp_path)
    assert result.best_config.federation.strategy == "fedavg" and result.best_config.seed == 7
    assert searcher.study.best_value == pytest.approx(means.iloc[0])


def told(value, rounds, **more):
    return {FID: value, "training_iteration": rounds, "completed": rounds == 2, **more}


def run(searcher, scores, num=12, at_a_time=1):
    """Run a sweep as Tune would, so many trials at a time; returns what was suggested, in order."""
    suggested, live, count = [], [], 0
    while True:
        while len(live) < at_a_time and count < num:
            values = searcher.suggest(f"t{count}")
            if values == "FINISHED":
                count = num
                break
            live.append((f"t{count}", values, 0))
            suggested.append(values)
            count += 1
        if not live:
            return suggested
        name, values, rounds = live.pop(0)
        result = told(scores(values, rounds + 1), rounds + 1)
        goes_on = searcher.goes_on(name, rounds + 1, result[FID])
        if rounds + 1 == 2 or not goes_on:
            searcher.on_trial_complete(name, result)
        else:
            searcher.on_trial_result(name, result)
            live.append((name, values, rounds + 1))


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
def test_a_configuration_that_is_stopped_early_leaves_its_other_seeds_to_others(at_a_time):
    early = {"grace_rounds": 1, "reduction_factor": 2}
    small = space(RATES, sampler="random", early_stopping=early, num_trials=30)
    searcher = OptunaSearcher(small)
    suggested = run(searcher, lambda values, _: 1e4 * values["gan.generator_lr"] + values["seed"], 30, at_a_time)
    assert 24 < len(suggested) <= 30  # room for less than all seeds of another one is left
    trials = trial_table(small, searcher)
    by_configuration = {number: runs for number, runs in trials.groupby("configuration")}
    assert len(by_configuration) > 10 or at_a_time == 5  # whose seeds have all begun when the first one is judged
    for runs in by_configuration.values():
        assert len(runs) == 3 or "pruned" in set(runs["outcome"])
        assert runs["seed"].tolist() == [7, 8, 9][: len(runs)]
    ended = {trial.number: trial for trial in searcher.study.trials}
    assert {trial.state.name for trial in ended.values()} == {"COMPLETE", "PRUNED"}
    for number, runs in by_configuration.items():
        whole = set(runs["outcome"]) == {"complete"}
        assert ended[number].state.name == ("COMPLETE" if whole else "PRUNED")
        if whole:
            assert ended[number].value == pytest.approx(runs["score"].mean())
        assert len(runs) == 1 or at_a_time > 1 or whole or runs["outcome"].iloc[0] == "complete"


@pytest.mark.parametrize("stopping", ["none", {"grace_rounds": 2}])
def test_a_seed_that_fails_fails_its_configuration_and_flatters_no_mean(stopping):
    searcher = OptunaSearcher(space(early_stopping=stopping))
    ended = []
    for number in range(12):
        values = searcher.suggest(f"t{number}")
        if values == "FINISHED":
            break
        fails = (
            values["partition.scheme"] == "iid" and values["federation.strategy"] == "fedavg" and values["seed"] == 8
        )
        searcher.on_trial_complete(f"t{number}", told(float(number), 2), error=fails)
        ended.append(values["seed"])
    lost = searcher.study.trials[0]
    assert lost.state.name == "FAIL"
    assert len(ended) == (12 if stopping == "none" else 11)  # without early stopping all seeds run
    table = configuration_table(space(), trial_table(space(), searcher))
    row = table[table["configuration"] == 0].iloc[0]
    assert row["outcome"] == "failed" and np.isnan(row[f"mean/{FID}"])
    assert table["configuration"].tolist()[-1] == 0


@pytest.mark.parametrize(("weight", "best"), [(0.0, "fedprox"), (1.0, "fedavg")])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_spread_counts_against_the_mean_as_much_as_asked(weight, best, mode):
    small = space(
        {"federation.strategy": SETTINGS["federation.strategy"]},
        num_trials=6, spread_weight=weight, goal={"metric": FID, "mode": mode},
    )  # fmt: skip
    searcher, sign = OptunaSearcher(small), 1 if mode == "min" else -1
    scores = {"fedavg": (10.0, 10.5, 11.0), "fedprox": (7.0, 10.0, 13.0)}
    for number in range(6):
        values = searcher.suggest(f"t{number}")
        score = sign * scores[values["federation.strategy"]][values["seed"] - 7]
        searcher.on_trial_complete(f"t{number}", told(score, 2))
    assert searcher.study.best_params["federation.strategy"] == best
    for trial in searcher.study.trials:
        values = np.array(scores[trial.params["federation.strategy"]])
        assert trial.value == pytest.approx(sign * (values.mean() + weight * values.std(ddof=1)))
    trials = trial_table(small, searcher)
    assert trials["federation.strategy"].tolist() == [best] * 3 + [({*scores} - {best}).pop()] * 3


@pytest.mark.parametrize("stopping", ["none", {"grace_rounds": 1, "reduction_factor": 2}])
def test_a_sweep_that_was_stopped_goes_on_as_if_nothing_had_happened(stopping, tmp_path):
    small = space(RATES, sampler="tpe", num_trials=24, early_stopping=stopping)

    def scores(values, round_index):
        return 1e4 * values["gan.generator_lr"] + values["seed"] / round_index

    whole = OptunaSearcher(small)
    run(whole, scores, 24, 2)

    class Restarted(OptunaSearcher):
        def suggest(self, trial_id):
            self.save(str(tmp_path / "state"))
            self.__init__(small)
            self.restore(str(tmp_path / "state"))
            return super().suggest(trial_id)

    stopped = Restarted(small)
    run(stopped, scores, 24, 2)
    pd.testing.assert_frame_equal(trial_table(small, stopped), trial_table(small, whole))


def test_tables_files_and_terminal_have_the_configurations(tmp_path):
    small = SearchSpace.model_validate(
        {**space().model_dump(), "goals": [{"metric": FID}, {"metric": "coverage/x/64", "mode": "max"}]}
    )
    scores = lucky_seeds()
    searcher = OptunaSearcher(small)
    for number in range(12):
        values = searcher.suggest(f"t{number:02}")
        found = {**scores(values, 2), "coverage/x/64": 0.1 + (values["federation.strategy"] == "fedprox")}
        searcher.on_trial_complete(f"t{number:02}", {**found, "training_iteration": 2, "completed": True})
    result = SweepResult(small, trial_table(small, searcher), tmp_path)
    written = write_results(result)
    assert written == ["results.parquet", "best.yaml", "configurations.parquet", "pareto.png"]
    table = pd.read_parquet(tmp_path / "configurations.parquet")
    assert table["front"].tolist() == [True, True, False, False]
    assert sorted(path.stem for path in (tmp_path / "pareto").iterdir()) == sorted(table["trial"][:2])
    trials = pd.read_parquet(tmp_path / "results.parquet")
    for number, trial in zip(trials["number"], trials.to_dict("records"), strict=True):
        params = trial_params(small, number, trials)
        assert params["seed"] == trial["seed"] and small.trial_config(params).seed == trial["seed"]
    text = StringIO()
    print_trials(Console(file=text, width=200), result)
    lines = [line for line in text.getvalue().splitlines() if line.startswith("t0") or line.startswith("t1")]
    assert len(lines) == 4 and f"{table[f'low/{FID}'][0]:.4g} to {table[f'high/{FID}'][0]:.4g}" in lines[0]
    assert "Means over 3 seeds" in text.getvalue()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_trials": 13}, "num_trials must be a whole number of times seeds (3), but got 13"),
        ({"num_trials": 9}, "num_trials must be 12, all 4 combinations with 3 seeds each, but got 9"),
        ({"seeds": 1, "num_trials": 4, "spread_weight": 1.0}, "spread_weight must be 0 with a single seed"),
        ({"search": RATES, "sampler": "nsgaii"}, "num_trials must be >= 24 (8 times 3 seeds), but got 12"),
    ],
)
def test_numbers_that_do_not_fit_the_seeds_are_refused(changes, expected):
    with pytest.raises(ValueError) as caught:
        space(**changes)
    assert expected in str(caught.value)
