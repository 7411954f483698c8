"""Several goals: the Pareto front against every pair of trials and Optuna's own, through the real Tune."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from fedray.cli.trials import print_trials
from fedray.config import ConfigError, load_config
from fedray.results import Place
from fedray.sweep import SearchSpace
from fedray.sweep.check import check_sweep
from fedray.sweep.pareto import on_front
from fedray.sweep.results import SweepResult, trial_params, trial_table, write_results
from fedray.sweep.searcher import OptunaSearcher
from fedray.sweep.space import Goal
from tests.support.quick_trials import sweep_here
from tests.support.spaces import small_space

FID, COVERAGE, KID = "fid/efficientnet-lite0/64", "coverage/efficientnet-lite0/64", "kid/efficientnet-lite0/64"
GOALS = [{"metric": FID, "mode": "min"}, {"metric": COVERAGE, "mode": "max"}]
TINY = {
    "gan.dropout": {"type": "float", "low": 0.0, "high": 0.8, "step": 0.2},
    "gan.n_critic": {"type": "int", "low": 1, "high": 4},
}


def space(**changes):
    return SearchSpace.model_validate(
        {
            "name": "tiny",
            "fixed": {"federation": {"num_rounds": 2}},
            "search": TINY,
            "goals": GOALS,
            "num_trials": 20,
            "sampler": "grid",
            "early_stopping": "none",
        }
        | changes
    )


def quality_against_diversity():
    """The more dropout, the worse the distance and the better the coverage; the critic has its best in the middle."""
    fid, coverage = FID, COVERAGE

    def scores(values, round_index):
        dropout, critic = values["gan.dropout"], values["gan.n_critic"]
        off = abs(critic - 2)
        return {fid: 10 * dropout + off + 1 / round_index, coverage: dropout - 0.3 * off * (critic == 4)}

    return scores


@pytest.mark.parametrize("modes", [("min", "max"), ("min", "min", "max"), ("max",)])
def test_the_front_is_what_no_other_dominates(modes):
    goals = [Goal(metric=f"m{number}", mode=mode) for number, mode in enumerate(modes)]
    values = np.random.default_rng(0).integers(0, 6, (60, len(modes))).astype(float)
    signs = [1 if mode == "min" else -1 for mode in modes]

    def dominates(one, other):
        differences = [sign * (a - b) for sign, a, b in zip(signs, one, other, strict=True)]
        return max(differences) <= 0 and min(differences) < 0

    expected = [not any(dominates(other, one) for other in values) for one in values]
    assert on_front(values, goals).tolist() == expected and any(expected) and not all(expected)
    assert on_front(values[:0], goals).tolist() == []


@pytest.mark.parametrize("constraints", [[], [f"{COVERAGE} >= 0.15", f"{FID} <= 7"]])
def test_the_front_of_a_sweep_is_that_of_brute_force_and_of_optuna(constraints):
    small, scores = space(constraints=constraints), quality_against_diversity()
    searcher = sweep_here(small, scores)
    table = trial_table(small, searcher)
    points = {}
    for row in table.to_dict("records"):
        values = scores(trial_params(small, row["number"], table), 2)
        kept = not constraints or (values[COVERAGE] >= 0.15 and values[FID] <= 7)
        points[row["number"]] = (values[FID], -values[COVERAGE]) if kept else None
    front = {
        number
        for number, point in points.items()
        if point is not None
        and not any(o is not None and o != point and o[0] <= point[0] and o[1] <= point[1] for o in points.values())
    }
    assert 2 <= len(front) < 20
    assert set(table[table["front"]]["number"]) == front
    assert {trial.number for trial in searcher.study.best_trials} == front
    assert table["front"].tolist() == sorted(
        table["front"], reverse=True
    )  # they come first, in the order of the first goal
    assert (
        table[FID][: len(front)].is_monotonic_increasing and table["score"].iloc[0] == table[FID][table["front"]].min()
    )


def test_the_front_is_in_the_table_the_files_and_a_picture(tmp_path):
    small, scores = space(), quality_against_diversity()
    searcher = OptunaSearcher(small)
    for number in range(20):
        values = searcher.suggest(f"t{number}")
        result = {**scores(values, 2), "training_iteration": 2, "completed": number != 3}
        searcher.on_trial_complete(f"t{number}", result, error=number == 5)
    result = SweepResult(small, trial_table(small, searcher), tmp_path)
    assert write_results(result) == ["results.parquet", "best.yaml", "pareto.png"]
    table = pd.read_parquet(tmp_path / "results.parquet")
    front = table[table["front"]]
    assert {path.stem for path in (tmp_path / "pareto").iterdir()} == set(front["trial"])
    for row in front.to_dict("records"):
        config = load_config(tmp_path / "pareto" / f"{row['trial']}.yaml")
        assert (config.gan.dropout, config.gan.n_critic) == (row["gan.dropout"], row["gan.n_critic"])
    assert load_config(tmp_path / "best.yaml") == load_config(tmp_path / "pareto" / f"{table['trial'][0]}.yaml")
    with Image.open(tmp_path / "pareto.png") as picture:
        assert min(picture.size) > 300 and len(set(picture.convert("L").getdata())) > 10
    text = StringIO()
    print_trials(Console(file=text, width=200), result)
    shown = [line.split() for line in text.getvalue().splitlines() if line.startswith("t") and line[1:2].isdigit()]
    assert [line[0] for line in shown if "yes" in line] == list(front["trial"])
    assert f"{FID} (lower is better), {COVERAGE} (higher is better)" in " ".join(text.getvalue().split())


def test_the_first_goal_stops_trials_early_and_the_table_has_their_last_scores(tmp_path):
    small = space(early_stopping={"grace_rounds": 1, "reduction_factor": 2}, sampler="tpe")
    searcher = OptunaSearcher(small)
    for number in range(12):
        searcher.suggest(f"t{number}")
        result = {FID: float(number), COVERAGE: 0.5, "training_iteration": 1, "completed": False}
        if searcher.rungs.goes_on(f"t{number}", 1, result[FID]):
            searcher.on_trial_result(f"t{number}", result)
            result |= {"training_iteration": 2, "completed": True}
        searcher.on_trial_complete(f"t{number}", result)
        searcher.save(str(tmp_path / "state"))
        searcher.restore(str(tmp_path / "state"))
    table = trial_table(small, searcher)
    assert table["outcome"].tolist() == ["complete"] + 11 * ["pruned"]  # each later one is worse than the first
    assert table["score"].tolist() == [float(number) for number in range(12)]
    assert table["rounds"].tolist() == [2] + 11 * [1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"goal": GOALS[0]}, "goal and goals exclude each other"),
        ({"goals": [GOALS[0], GOALS[0]]}, f"goals must be of different scores, but {FID} stands twice"),
        ({"sampler": "cmaes"}, "it optimises one goal, not 2; take tpe, gp or nsgaii"),
        ({"goals": []}, "at least 1 item"),
    ],
)
def test_goals_that_make_no_sense_are_refused(changes, expected):
    with pytest.raises(ValueError) as caught:
        space(**changes)
    assert expected in str(caught.value)


def test_every_goal_is_settled_and_checked(small_store, tmp_path):
    goals = ({"metric": "fid/efficientnet-lite0"}, {"metric": "coverage/efficientnet-lite0", "mode": "max"})
    small = small_space(small_store)
    several = SearchSpace.model_validate({**small.model_dump(), "goals": goals})
    settled = check_sweep(several, Place.at(tmp_path / "out")).space
    assert [goal.metric for goal in settled.goals] == ["fid/efficientnet-lite0/16", "coverage/efficientnet-lite0/16"]
    wrong = SearchSpace.model_validate({**small.model_dump(), "goals": (goals[0], {**goals[1], "mode": "min"})})
    with pytest.raises(ConfigError, match=r"goals\[1\]\.mode must be 'max' for coverage/efficientnet-lite0/16"):
        check_sweep(wrong, Place.at(tmp_path / "out"))


@pytest.mark.parametrize(
    ("sampler", "num_trials"), [("tpe", 48), ("tpe-independent", 48), ("gp", 12), ("nsgaii", 48), ("random", 48)]
)
def test_samplers_come_near_a_front(sampler, num_trials):
    """x and 0.9 - x are both to be small, which is a front, and two other values, which keep from it."""
    rate = {"type": "float", "low": 1e-3, "high": 0.9}
    small = space(
        search={"gan.dropout": rate, "gan.beta1": rate, "gan.beta2": rate},
        sampler=sampler, num_trials=num_trials, goals=[{"metric": FID}, {"metric": KID}],
    )  # fmt: skip
    searcher, wasted = OptunaSearcher(small), []
    for number in range(num_trials):
        values = searcher.suggest(f"t{number}")
        far = values["gan.beta1"] + values["gan.beta2"]
        result = {FID: values["gan.dropout"] + far, KID: 0.9 - values["gan.dropout"] + far}
        searcher.on_trial_complete(f"t{number}", {**result, "training_iteration": 2, "completed": True})
        wasted.append(far)
    assert {trial.number for trial in searcher.study.best_trials} == set(
        trial_table(small, searcher).query("front")["number"]
    )
    assert sampler == "random" or np.median(wasted[-num_trials // 4 :]) < 0.75 * 0.9  # of random ones, 0.9
