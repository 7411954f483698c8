"""A sweep's progress: a line a scored round, and a time left that does not run out before the sweep does."""

from types import SimpleNamespace

import pytest

from fedray.sweep import progress as module
from fedray.sweep.progress import SweepProgress
from tests.support.spaces import small_space

ROUNDS, TRIALS = 8, 4


@pytest.fixture
def shown(small_store, capsys, monkeypatch):
    """A sweep of four trials of eight rounds, a round a second: returns what a round's end prints."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    space = small_space(small_store, num_rounds=ROUNDS, num_trials=TRIALS, start_points=[])
    progress, trials = SweepProgress(space), []
    progress.setup()
    capsys.readouterr()

    def end_round(name, *, ends=False, scored=True):
        now[0] += 1.0
        trial = next((trial for trial in trials if trial.trial_id == name), None)
        if trial is None:
            trial = SimpleNamespace(trial_id=name, last_result={}, ended=False)
            trial.is_finished = lambda: trial.ended
            trials.append(trial)
        score = {space.goal.metric: 1.0} if scored else {}
        trial.last_result = {"training_iteration": trial.last_result.get("training_iteration", 0) + 1, **score}
        trial.ended = ends
        progress.on_trial_result(0, trials, trial, trial.last_result)
        return capsys.readouterr().out

    return end_round


def test_a_round_that_is_not_scored_has_no_line_but_counts(shown):
    assert shown("a", scored=False) == ""
    line = shown("a")
    assert line.startswith("trial a round 2: ") and "0/4 trials, 2 rounds" in line


def test_a_running_trial_is_expected_to_take_all_rounds_and_a_waiting_one_as_many_as_those_that_ended(shown):
    shown("a")
    assert "about 0:30 left" in shown("a")  # 6 of its rounds, 8 of each of the other three
    assert "about 0:09 left" in shown("a", ends=True)  # three trials of 3 rounds
    for _ in range(4):
        line = shown("b")
    assert "7 rounds" in line and "about 0:10 left" in line  # 4 of its rounds, two trials of 3: not "0:05"
