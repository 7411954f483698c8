import math

import pytest
from optuna.trial import TrialState
from ray.tune.result import TRAINING_ITERATION

from fedray.sweep.searcher import COMPLETED, DIVERGED, OptunaSearcher, SweepSearch
from fedray.sweep.space import SearchSpace

METRIC = "fid/efficientnet-lite0/64"
START = {"gan.n_critic": 4, "gan.generator_lr": 1e-3}


SPACE = SearchSpace.model_validate(
    {
        "name": "small",
        "search": {
            "gan.n_critic": {"type": "int", "low": 1, "high": 5},
            "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        },
        "goal": {"metric": METRIC},
        "num_trials": 8,
        "start_points": [START],
    }
)


@pytest.fixture
def searcher():
    return OptunaSearcher(SPACE)


def result(score, round_index, **more):
    return {METRIC: score, TRAINING_ITERATION: round_index, COMPLETED: False, **more}


def states(searcher):
    return [trial.state for trial in searcher.study.trials]


def test_the_start_point_comes_first_and_values_stay_in_range(searcher):
    assert searcher.suggest("a") == pytest.approx(START)
    for name in "bcdefgh":
        values = searcher.suggest(name)
        assert 1 <= values["gan.n_critic"] <= 5
        assert 1e-4 <= values["gan.generator_lr"] <= 1e-2


def test_suggesting_twice_for_a_trial_gives_the_same_values(searcher):
    searcher.suggest("a")
    assert searcher.suggest("b") == searcher.suggest("b")


def test_a_full_run_is_complete_with_its_last_score(searcher):
    searcher.suggest("a")
    searcher.on_trial_result("a", result(9.0, 1))
    searcher.on_trial_complete("a", result(5.0, 2, **{COMPLETED: True}))
    assert states(searcher) == [TrialState.COMPLETE]
    assert searcher.study.best_value == 5.0


def test_a_stopped_trial_is_pruned_with_its_intermediate_values(searcher):
    searcher.suggest("a")
    searcher.on_trial_result("a", result(9.0, 1))
    searcher.on_trial_complete("a", result(8.0, 2))
    (trial,) = searcher.study.trials
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {1: 9.0, 2: 8.0}


def test_a_diverged_trial_fails_at_once(searcher):
    searcher.suggest("a")
    searcher.on_trial_complete("a", {DIVERGED: "round 1: loss is nan", TRAINING_ITERATION: 1})
    assert states(searcher) == [TrialState.FAIL]


@pytest.mark.parametrize("outcome", [{"error": True}, {"result": None}])
def test_a_trial_with_an_error_fails(searcher, outcome):
    searcher.suggest("a")
    searcher.on_trial_complete("a", **outcome)
    assert states(searcher) == [TrialState.FAIL]


def test_a_round_without_a_score_says_nothing(searcher):
    searcher.suggest("a")
    searcher.on_trial_result("a", {TRAINING_ITERATION: 1})
    assert searcher.study.trials[0].intermediate_values == {}


def test_a_saved_search_goes_on_as_if_nothing_had_happened(searcher, tmp_path):
    searcher.suggest("a")
    searcher.on_trial_complete("a", result(5.0, 2, **{COMPLETED: True}))
    running = searcher.suggest("b")
    searcher.save(str(tmp_path / "searcher.pkl"))
    expected = searcher.suggest("c")
    again = OptunaSearcher(SPACE)
    again.restore(str(tmp_path / "searcher.pkl"))
    assert again.suggest("b") == running
    assert again.suggest("c") == expected
    again.on_trial_complete("b", result(4.0, 2, **{COMPLETED: True}))
    assert again.study.best_value == 4.0
    assert not math.isnan(again.study.best_value)


def test_the_folder_of_the_state_only_ever_holds_whole_files(tmp_path, monkeypatch):
    state, seen = tmp_path / "state", []
    state.mkdir()
    save = OptunaSearcher.save

    def look_and_save(self, path):
        save(self, path)
        seen.append({file.name for file in state.iterdir()})

    monkeypatch.setattr(OptunaSearcher, "save", look_and_save)
    monkeypatch.setattr(SweepSearch, "keep_in", None)
    search = SweepSearch(SPACE, 2)
    for _ in range(2):
        search.save_to_dir(str(state), "now")
    assert seen == [set(), {"searcher-state-now.pkl", "search_gen_state-now.json", "whole-state.zip"}]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    again = OptunaSearcher(SPACE)
    again.restore_from_dir(str(state))
    assert again.suggest("a") == pytest.approx(START)
