"""Early stopping: as Ray's ASHA decides, and the same whatever was killed when."""

import math
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ray import cloudpickle, tune
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from fedray.cluster import ClusterSize, NodeSize
from fedray.config import nest
from fedray.results import Place
from fedray.simulation import WorkerResources
from fedray.sweep.plan import SweepPlan
from fedray.sweep.progress import SweepProgress
from fedray.sweep.rungs import Rungs
from fedray.sweep.space import SearchSpace
from fedray.sweep.tuning import run_trials
from tests.support.tune_model import SmallTune

METRIC = "fid/efficientnet-lite0/64"
NUM_ROUNDS = 9


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("grace", "factor", "rounds"), [(1, 2, 9), (2, 3, 8), (2, 3, 60), (1, 2.5, 20), (4, 3, 4)])
def test_trials_are_judged_as_by_rays_asha(mode, grace, factor, rounds):
    random = np.random.default_rng(5)
    rungs = Rungs(grace_rounds=grace, reduction_factor=factor, num_rounds=rounds, mode=mode)
    asha = ASHAScheduler(
        metric="score", mode=mode, max_t=rounds, grace_period=grace, reduction_factor=factor, stop_last_trials=False
    )
    live = {f"t{number}": 0 for number in range(30)}
    for name in live:
        asha.on_trial_add(None, SimpleNamespace(trial_id=name))
    stopped = 0
    while live:
        name = random.choice(sorted(live))
        live[name] += int(random.integers(1, 4))  # some rounds are not scored
        if live[name] >= rounds:
            del live[name]
            continue
        score = float(random.normal())
        result = {TRAINING_ITERATION: live[name], "score": score}
        expected = asha.on_trial_result(None, SimpleNamespace(trial_id=name), result) == TrialScheduler.CONTINUE
        assert rungs.goes_on(name, live[name], score) is expected
        stopped += not expected
        if not expected:
            del live[name]
    assert stopped > 0 or grace == rounds


def test_a_trial_that_comes_again_is_judged_as_the_first_time():
    rungs = Rungs(grace_rounds=2, reduction_factor=2, num_rounds=8, mode="min")
    assert [rungs.goes_on(name, 2, score) for name, score in (("a", 5.0), ("b", 9.0), ("c", 8.0))] == [
        True,
        False,
        False,
    ]
    again = pickle.loads(pickle.dumps(rungs))
    for name, goes_on in (("a", True), ("b", False), ("c", False)):
        assert again.goes_on(name, 2, 5.0001) is goes_on  # repeated rounds agree to rounding only
        assert again.goes_on(name, 3, 5.0) is goes_on
    assert again.goes_on("d", 1, 1e9)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("round_index", [1, 2])
def test_a_score_that_is_no_number_stops_its_trial_and_is_compared_with_none(score, round_index):
    rungs = Rungs(grace_rounds=2, reduction_factor=2, num_rounds=8, mode="min")
    assert not rungs.goes_on("broken", round_index, score)
    assert rungs.goes_on("first", 2, 100.0)
    assert not rungs.goes_on("worse", 2, 101.0)
    assert rungs.goes_on("better", 2, 99.0)


def space(**changes):
    return SearchSpace.model_validate(
        {
            "name": "small",
            "fixed": nest({"federation.num_rounds": NUM_ROUNDS}),
            "search": {
                "gan.n_critic": {"type": "int", "low": 1, "high": 5},
                "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            },
            "goal": {"metric": METRIC},
            "num_trials": 14,
            "early_stopping": {"grace_rounds": 1, "reduction_factor": 2},
            "start_points": [{"gan.n_critic": 4, "gan.generator_lr": 1e-3}],
        }
        | changes
    )


def score(values, round_index):
    """Falls from round to round to a level that depends on the values; learning rates near the top diverge."""
    if values["gan.generator_lr"] > 3e-3 and round_index <= 2:
        return math.inf
    level = abs(math.log10(values["gan.generator_lr"]) + 3.1) + 0.1 * values["gan.n_critic"]
    return 100 * level + 300 / round_index


def score_of_every_second_round(values, round_index):
    return score(values, round_index) if round_index % 2 == 0 or round_index == NUM_ROUNDS else None


def drive(folder, make, killed_after, before_snapshot):
    """Run a sweep to its end; its driver is killed after so many events of its own, over and over."""
    folder.mkdir()
    kills = 0
    while True:
        driver = make(folder)
        for number in range(1, 10_000):
            if not driver.event():
                return driver.outcomes(), kills
            if number == killed_after(kills) and before_snapshot:
                break
            driver.snapshot()
            if number == killed_after(kills):
                break
        kills += 1


@pytest.mark.parametrize("max_concurrent", [1, 2])
@pytest.mark.parametrize("checkpoint_every", [1, 2])
@pytest.mark.parametrize("scores", [score, score_of_every_second_round])
def test_the_same_trials_are_stopped_at_the_same_rounds_whatever_was_killed_when(
    tmp_path, max_concurrent, checkpoint_every, scores
):
    def make(folder):
        return SmallTune(space(), scores, folder, max_concurrent, checkpoint_every)

    whole, _ = drive(tmp_path / "whole", make, lambda kills: 0, False)
    assert {state for _, _, state in whole.values()} == {"COMPLETE", "PRUNED", "FAIL"}
    ways = {
        "in the middle": (lambda kills: 17 if kills == 0 else 0, False),
        "in the middle, with the last event lost": (lambda kills: 12 if kills == 0 else 0, True),
        "three times": (lambda kills: 7 if kills < 3 else 0, True),
        "often": (lambda kills: 3, False),  # a trial repeats a round at the most: three events bring it on
    }
    for name, (killed_after, lost) in ways.items():
        outcomes, kills = drive(tmp_path / name, make, killed_after, lost)
        assert kills >= 1
        assert outcomes == whole, name


def trainable():
    """A trial that scores as above."""
    rounds, level = NUM_ROUNDS, score

    class Scores(tune.Trainable):
        def setup(self, config):
            self.values, self.round = config, 0

        def reset_config(self, new_config):
            self.setup(new_config)
            return True

        def step(self):
            self.round += 1
            done = self.round == rounds
            result = {TRAINING_ITERATION: self.round, "completed": done, "done": done}
            value = level(self.values, self.round)
            if value == float("inf"):
                return result | {"diverged": "a loss", "completed": False, "done": True}
            return result | {METRIC: value}

        def save_checkpoint(self, folder):
            with open(f"{folder}/round", "w") as file:
                file.write(str(self.round))

        def load_checkpoint(self, folder):
            with open(f"{folder}/round") as file:
                self.round = int(file.read())

    return Scores


@pytest.fixture
def travels_by_value():
    """What this module defines is sent to trials as it is: their processes find no tests to import."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def test_a_sweep_that_is_extended_twice_is_one_whole_study(tmp_path, ray_session, travels_by_value):
    """One trial at a time, of a sampler whose random suggestions are as many: the real controller, and Optuna's own."""
    plan = SweepPlan(WorkerResources(1), 1, ClusterSize((NodeSize(4.0),)))
    trial = tune.with_resources(trainable(), {"CPU": 1})

    def outcomes(name, num_trials):
        searcher, grid = run_trials(trial, space(num_trials=num_trials), plan, Place(tmp_path / name))
        assert len(grid) == num_trials
        return [(t.params, t.last_step, t.value, t.state.name, t.user_attrs["trial_id"]) for t in searcher.study.trials]

    whole = [found[:-1] for found in outcomes("whole", 9)]
    assert {state for *_, state in whole} >= {"COMPLETE", "PRUNED"}
    seen = []
    for num_trials in (4, 6, 9):
        found = outcomes("extended", num_trials)
        assert found[: len(seen)] == seen, "what was known stays"
        seen = found
    assert [found[:-1] for found in seen] == whole
    assert outcomes("extended", 9) == seen


def test_ray_tune_stops_the_same_trials_after_ctrl_c(tmp_path, ray_session, travels_by_value, monkeypatch):
    """The real controller, interrupted, one trial at a time (with more, who comes first is up to the clock)."""
    small, plan = space(num_trials=6), SweepPlan(WorkerResources(1), 1, ClusterSize((NodeSize(4.0),)))
    trial = tune.with_resources(trainable(), {"CPU": 1})

    def outcomes(name):
        searcher, _ = run_trials(trial, small, plan, Place(tmp_path / name))
        return [(t.params, t.last_step, t.state.name) for t in searcher.study.trials]

    whole = outcomes("whole")
    assert {state for _, _, state in whole} >= {"COMPLETE", "PRUNED"}

    count = 0
    show = SweepProgress.on_trial_result

    def interrupt(self, iteration, trials, trial, result, **info):
        nonlocal count
        count += 1
        if count == 14:
            raise KeyboardInterrupt
        show(self, iteration, trials, trial, result, **info)

    monkeypatch.setattr(SweepProgress, "on_trial_result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        outcomes("resumed")
    assert outcomes("resumed") == whole
