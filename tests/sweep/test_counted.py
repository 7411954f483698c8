"""The round by which a trial is judged: the best or the last, with its weights, whatever was killed when."""

import math
import shutil

import numpy as np
import pytest

from fedray.experiment import Evaluation
from fedray.federation import FederationState, latest_round, load_server, save_round, to_record
from fedray.sweep.counted import CountedRound, counted_folder, load_counted
from fedray.sweep.space import SearchSpace

METRIC, OTHER = "fid/efficientnet-lite0/64", "kid/efficientnet-lite0/64"
WORSENING = [24.2, 60.5, None, 173.0, 162.9]
"""A generator that is best in its first round; its third is not evaluated."""
SEQUENCES = [WORSENING, [5.0, 4.0, 3.0], [None, 9.0, 1.0, 1.0, 2.0], [7.0], [None, None, 2.0]]


def space(mode="min", score="best"):
    return SearchSpace.model_validate(
        {
            "name": "small",
            "search": {"gan.n_critic": {"type": "int", "low": 1, "high": 5}},
            "goal": {"metric": METRIC, "mode": mode},
            "num_trials": 1,
            "score": score,
        }
    )


class SmallRun:
    """A run whose weights say which round they are of."""

    def __init__(self):
        self.state = FederationState(to_record({"g": np.zeros(1)}))

    def step(self):
        self.state.round_index += 1
        self.state.arrays = to_record({"g": np.full(1, float(self.state.round_index))})

    def save(self, folder):
        save_round(folder, self.state, {})


def evaluation(score, round_index):
    return Evaluation({METRIC: score, OTHER: -score}, np.full((1, 1, 2, 2, 3), round_index, np.uint8))


def drive(folder, space, scores, killed_before=()):
    """Run rounds with a checkpoint after each; one that is killed goes on after the last. Returns what is told."""
    run, told = SmallRun(), []
    counted = CountedRound(space, folder / "first")
    for number, score in enumerate(scores, start=1):
        if number in killed_before:
            shutil.rmtree(folder / "first", ignore_errors=True)
            counted = CountedRound(space, folder / "first")
            counted.load(folder / f"checkpoint_{number - 1}")
        run.step()
        if score is not None:
            told.append(counted.see(run, evaluation(score, number)))
        counted.save(run, folder / f"checkpoint_{number}")
    return told


def kept(checkpoint):
    """Read a checkpoint: the round that counts by its record, by its picture, by its weights."""
    found = load_counted(checkpoint)
    arrays, round_index = load_server(latest_round(counted_folder(checkpoint)))
    assert arrays["g"].tolist() == [round_index] == [found.preview.max()]
    assert found.round_index == round_index
    return round_index, found.scores[METRIC]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("scores", SEQUENCES)
def test_after_each_round_the_best_until_then_counts_with_its_weights(tmp_path, scores, mode):
    told = drive(tmp_path, space(mode), scores)
    pick, seen = {"min": np.argmin, "max": np.argmax}[mode], []
    for number, score in enumerate(scores, start=1):
        if score is not None:
            seen.append((number, score))
            best = seen[int(pick([value for _, value in seen]))]  # the first of equals
            assert told[len(seen) - 1] == {METRIC: best[1], OTHER: -best[1]}
        if seen:
            assert kept(tmp_path / f"checkpoint_{number}") == best
        newest = latest_round(tmp_path / f"checkpoint_{number}" / "federation")
        assert load_server(newest)[0]["g"].tolist() == [number], "which a resume goes on after"


@pytest.mark.parametrize("scores", SEQUENCES)
def test_a_trial_that_is_killed_anywhere_says_the_same(tmp_path, scores):
    whole = drive(tmp_path / "whole", space(), scores)
    for killed in [{number} for number in range(2, len(scores) + 1)] + [set(range(2, len(scores) + 1))]:
        assert drive(tmp_path / str(killed), space(), scores, killed) == whole
        last = f"checkpoint_{len(scores)}"
        assert kept(tmp_path / str(killed) / last) == kept(tmp_path / "whole" / last)


def test_the_last_round_counts_where_the_space_says_so(tmp_path):
    told = drive(tmp_path, space(score="last"), WORSENING)
    assert [scores[METRIC] for scores in told] == [24.2, 60.5, 173.0, 162.9]
    assert kept(tmp_path / "checkpoint_5") == (5, 162.9)
    assert not list(tmp_path.rglob("best"))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("score", ["best", "last"])
def test_a_score_that_is_no_number_is_told_and_never_counts(tmp_path, broken, score):
    told = drive(tmp_path, space(score=score), [3.0, broken])
    assert not math.isfinite(told[1][METRIC])
    assert load_counted(tmp_path / "checkpoint_2").round_index == 1


def test_half_of_a_checkpoint_is_refused(tmp_path):
    drive(tmp_path, space(), WORSENING)
    shutil.rmtree(tmp_path / "checkpoint_4" / "best")
    (tmp_path / "checkpoint_5" / "best" / "round-00001" / "clients.safetensors").write_bytes(b"half of i")
    for half in ("checkpoint_4", "checkpoint_5"):
        with pytest.raises(ValueError, match=r"lacks the weights of round 1, its best one|is damaged"):
            CountedRound(space(), tmp_path / "again").load(tmp_path / half)


def test_the_checkpoint_of_a_best_round_holds_it_once(tmp_path):
    drive(tmp_path, space(), [5.0, 4.0])
    assert [path.parent.name for path in (tmp_path / "checkpoint_2").glob("*/round-*")] == ["federation"]


def test_a_round_that_keeps_the_constraints_counts_before_one_that_scores_better(tmp_path):
    bounded = space().model_copy(update={"constraints": (f"{OTHER} >= -6",)})  # its score is the goal's, with a minus
    told = drive(tmp_path, bounded, [9.0, 8.0, 5.0, 6.0, 7.0])
    assert [scores[METRIC] for scores in told] == [9.0, 8.0, 5.0, 5.0, 5.0], "until one does, the least broken"
    opposed = space(mode="max").model_copy(update={"constraints": (f"{OTHER} >= -6",)})
    told = drive(tmp_path / "opposed", opposed, [9.0, 5.0, 8.0, 6.0])
    assert [scores[METRIC] for scores in told] == [9.0, 5.0, 5.0, 6.0]
