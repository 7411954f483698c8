"""The table of a sweep."""

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fedray.cli.trials import print_trials
from fedray.config import override
from fedray.federation import Releases, epsilon_of
from fedray.results.ledger import Ledger
from fedray.sweep.results import SweepResult, trial_table, with_context, with_epsilon, write_results
from fedray.sweep.searcher import COMPLETED, DIVERGED, OptunaSearcher
from tests.support.spaces import METRIC, small_space


def printed(*arguments):
    console = Console(width=100, record=True)
    print_trials(console, *arguments)
    return " ".join(console.export_text().split())


def test_epsilon_of_each_trial_and_of_all_together_stands_in_the_final_table(small_store, tmp_path):
    space = small_space(small_store)
    trials = pd.DataFrame(
        {"trial": ["a", "b", "c"], "number": [0, 1, 2], "outcome": ["complete", "pruned", "failed"],
         "rounds": [4, 1, 0], "score": [2.0, 3.0, np.nan], "start_point": False, **dict.fromkeys(space.search, 1)}
    )  # fmt: skip
    assert "epsilon" not in printed(SweepResult(space, trials, tmp_path))
    ledger, fixed = Ledger(str(tmp_path)), override(space.fixed, {"privacy.delta": 1e-3}, "test")
    for trial, releases in {"a": 4, "b": 2, "forgotten": 1}.items():
        account = ledger.account(trial)
        for _ in range(releases):
            account.count(1.0)
    space = space.model_copy(update={"fixed": fixed})
    trials = with_epsilon(trials, space, ledger)
    each = [epsilon_of([Releases({1.0: number})], 1e-3) for number in (4, 2)]
    assert trials["epsilon"].tolist() == [*each, 0.0]
    together = ledger.epsilon(1e-3)
    assert together == epsilon_of([Releases({1.0: 7})], 1e-3)
    told = printed(SweepResult(space, trials, tmp_path), together)
    assert all(f"{epsilon:.3g}" in told for epsilon in each)
    assert f"by all trials together, failed and stopped ones too: epsilon {together:.4g} at delta 0.001" in told


SCORES = {
    METRIC: 12.5,
    "kid/efficientnet-lite0/16": 0.0321,
    "kid/efficientnet-lite0/16/label/dark": 0.04,
    "c2st/texture/16": 0.954,
    "coverage/efficientnet-lite0/16": 0.27,
}
FLOOR = {
    METRIC: 1.25,
    "kid/efficientnet-lite0/16": -0.01,
    "c2st/texture/16": 0.51,
    "coverage/efficientnet-lite0/16": 0.97,
}


def told(round_index, score, **more):
    scores = {f"scores/{name}": value for name, value in (SCORES | {METRIC: score}).items()}
    spent = {"spent/seconds": 2.5 * round_index, "spent/generator-steps": 8.0 * round_index}
    return {METRIC: score, "training_iteration": round_index, **scores, **spent, COMPLETED: False, **more}


@pytest.fixture
def searched(small_store):
    """A study whose trials ended in each way: complete, pruned, diverged, failed, and one that never began a round."""
    searcher = OptunaSearcher(small_space(small_store))
    for name in ("complete", "pruned", "diverged", "failed", "empty"):
        searcher.suggest(name)
    searcher.on_trial_result("complete", told(2, 30.0))
    searcher.on_trial_complete("complete", told(3, 12.5, **{COMPLETED: True}))
    searcher.on_trial_complete("pruned", told(1, 99.0))
    searcher.on_trial_result("diverged", told(1, 70.0))
    diverged = {DIVERGED: "a loss", "training_iteration": 2, "spent/seconds": 4.0, "spent/generator-steps": 8.0}
    searcher.on_trial_complete("diverged", diverged)
    searcher.on_trial_result("failed", told(2, 50.0))
    searcher.on_trial_result("failed", told(1, 50.0))  # a lost node: from its last checkpoint
    searcher.on_trial_complete("failed", error=True)
    searcher.on_trial_complete("empty", error=True)
    return searcher


def result_of(searcher, space, out):
    trials = trial_table(space, searcher)
    return SweepResult(space, with_context(trials, FLOOR, [f"{name:-<32}" for name in trials["trial"]]), out)


def test_every_trial_has_scores_seconds_steps_floor_and_run_as_far_as_known_and_in_parquet(
    searched, small_store, tmp_path
):
    searched.save(str(tmp_path / "state"))
    space = small_space(small_store)
    resumed = OptunaSearcher(space)
    resumed.restore(str(tmp_path / "state"))
    write_results(result_of(resumed, space, tmp_path))
    frame = pd.read_parquet(tmp_path / "results.parquet").set_index("trial")
    assert frame["seconds"].dropna().to_dict() == {"complete": 7.5, "pruned": 2.5, "diverged": 4.0, "failed": 5.0}
    assert frame["generator-steps"].dropna().to_dict() == {"complete": 24, "pruned": 8, "diverged": 8, "failed": 16}
    assert frame[METRIC].dropna().to_dict() == {"complete": 12.5, "pruned": 99.0, "diverged": 70.0, "failed": 50.0}
    for name, value in SCORES.items():
        if name != METRIC:
            assert frame[name].dropna().to_dict() == dict.fromkeys(("complete", "pruned", "diverged", "failed"), value)
    for name, value in FLOOR.items():
        assert frame[f"floor/{name}"].tolist() == [value] * 5
    assert all(run_id.strip("-") == trial for trial, run_id in frame["run_id"].items())
    assert SweepResult(space, frame.reset_index(), tmp_path).floor == FLOOR


@pytest.mark.parametrize("width", [80, 120])
def test_the_context_stands_beside_the_score_in_lines_of_a_terminal(searched, small_store, tmp_path, width):
    space = small_space(small_store)
    console = Console(width=width, record=True)
    print_trials(console, result_of(searched, space, tmp_path))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width and not any("…" in line for line in lines)
    assert METRIC in lines[0]
    rows = [line.split() for line in lines]
    context = ["12.5", "0.0321", "0.954", "0.27", "8", "24", "complete"]
    values = ["2", "0.001", "1e+15"]
    if width == 120:
        assert ["complete", "*", "complete", "3", *context, *values] in rows
        assert sum(row[:1] == ["pruned"] for row in rows) == 1
    else:
        assert ["complete", "*", "complete", "3", *context] in rows
        assert ["complete", "*", *values] in rows
    assert ["real", "tiles", "(floor)", "1.25", "-0.01", "0.51", "0.97"] in rows
    assert next(row for row in rows if row[:1] == ["empty"])[:4] == ["empty", "failed", "0", "empty---"]


def test_a_goal_that_is_context_itself_stands_once(searched, small_store, tmp_path):
    space = small_space(small_store)
    goal = space.goal.model_copy(update={"metric": "coverage/efficientnet-lite0/16", "mode": "max"})
    console = Console(width=120, record=True)
    print_trials(console, result_of(searched, space.model_copy(update={"goals": (goal,)}), tmp_path))
    text = console.export_text()
    assert "coverage/efficientnet-lite0/16 (higher is better)" in text
    assert "KID" in text and " cover " not in text


def test_trials_stand_by_how_far_they_came_before_their_score(small_store):
    """A pruned trial's score after one round says nothing beside that of one which ran them all."""
    space = small_space(small_store)
    searcher = OptunaSearcher(space)
    ends = {"good": (3, 30.0), "bad": (3, 80.0), "early": (1, 5.0), "late": (2, 60.0), "late-worse": (2, 70.0)}
    for name, (rounds, score) in reversed(ends.items()):
        searcher.suggest(name)
        searcher.on_trial_complete(name, told(rounds, score, **{COMPLETED: rounds == 3}))
    searcher.suggest("failed")
    searcher.on_trial_complete("failed", error=True)
    expected = ["good", "bad", "late", "late-worse", "early", "failed"]
    assert trial_table(space, searcher)["trial"].tolist() == expected
    higher = space.model_copy(update={"goals": (space.goal.model_copy(update={"mode": "max"}),)})
    expected = ["bad", "good", "late-worse", "late", "early", "failed"]
    assert trial_table(higher, searcher)["trial"].tolist() == expected
