"""What a sweep took: by hand."""

import pandas as pd

from fedray.sweep.report.spent import PAUSE_S, Round, since_start, spent

TRIALS = pd.DataFrame({"training-seconds": [10.0, 6.0], "scoring-seconds": [2.0, 1.0], "core-seconds": [30.0, 16.0]})


def test_time_is_parted_into_training_scoring_other_and_waiting():
    rounds = [Round("a", 1, 100.0, 107.0), Round("b", 1, 101.0, 109.0), Round("a", 2, 108.0, 116.0)]
    took = spent(rounds, TRIALS)
    assert (took.wall_s, took.paused_s, took.lanes) == (16.0, 0.0, 2)
    assert (took.training_s, took.scoring_s, took.other_s) == (16.0, 3.0, 4.0)
    assert took.waiting_s == 2 * 16.0 - 23.0
    assert (took.core_s, took.gpu_s) == (46.0, 0.0)


def test_a_night_in_which_nothing_ran_is_left_out():
    night = 8 * 3600.0
    rounds = [Round("a", 1, 0.0, 10.0), Round("b", 1, 5.0, 12.0), Round("a", 2, 12.0 + night, 20.0 + night)]
    moved, paused = since_start(rounds)
    assert paused == night
    assert moved == [Round("a", 1, 0.0, 10.0), Round("b", 1, 5.0, 12.0), Round("a", 2, 12.0, 20.0)]
    assert since_start([Round("a", 1, 0.0, 1.0), Round("a", 2, PAUSE_S, PAUSE_S + 1)])[1] == 0.0


def test_a_long_round_is_no_pause_and_one_lane_is_one():
    rounds = [Round("a", 1, 0.0, 1000.0), Round("b", 1, 1000.0, 1001.0)]
    assert since_start(rounds)[1] == 0.0
    assert spent(rounds, TRIALS).lanes == 1


def test_a_sweep_without_times_has_none():
    assert spent([], TRIALS) is None
    assert spent([Round("a", 1, 0.0, 1.0)], pd.DataFrame({"trial": ["a"]})) is None
