"""What is said of an experiment before it starts: its steps, its seconds, and how it would have enough steps."""

import re

import numpy as np
import pytest
import torch

from fedray.config import ExperimentConfig, override
from fedray.data import tile_shape
from fedray.experiment import budget
from fedray.experiment.budget import budget_lines, round_seconds, sampling_lines, short_training
from fedray.experiment.timed import StepTime, time_steps, time_tiles
from fedray.federation.budget import StepBudget, step_budget
from fedray.simulation import WorkerResources
from fedray.tasks.gan import fresh_gan
from fedray.tasks.gan.task import ENOUGH
from fedray.tasks.gan.timed import GanStepper


def resolved(small_config, **changes):
    return small_config(**changes).resolved()


@pytest.fixture
def clockwork(monkeypatch):
    """Steps that take a time of their own: 1 ms a tile for a discriminator, 0.5 ms for a generator. Lists the steps."""
    taken = []

    def take(stepper, num_tiles):
        taken.append(num_tiles)
        return {"discriminator": 0.001 * num_tiles, "generator": 0.0005 * num_tiles}

    monkeypatch.setattr(GanStepper, "take", take)
    return taken


def test_an_experiments_budget_in_words(small_config, clockwork):
    config = resolved(small_config, federation__num_clients=3, federation__num_rounds=5)
    lines = list(budget_lines(config, WorkerResources(2)))
    assert lines[0] == "budget: 3 client(s) with 6 to 7 training tiles each, 0 unused"
    assert lines[1] == "budget: 0 to 3 generator step(s) a round, 6 in all over the clients; 2 in a row"
    # One step of 7 tiles and half of a generator's each, of three clients on two workers: 1.5 x (7 + 3.5 / 2) ms.
    assert lines[2].startswith("budget: about 0:00 of training: 5 rounds of 13 ms with 2 worker(s); start, averaging")
    assert re.fullmatch(
        r"budget: timed on \S+ \(CPU, 1 thread\(s\)\): 7 ms a discriminator step, 3.5 ms a generator step of 7 tiles; "
        "another machine takes its own time", lines[3],
    )  # fmt: skip
    assert lines[4].startswith("warning: expect noise: a generator takes 2 steps in a row")
    assert len(lines) == 5
    assert "4 rounds of" in list(budget_lines(config, WorkerResources(2), rounds_done=1))[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"federation__mode": "centralised", "federation__local_steps": 4}, "2 generator step(s) a round, 4 in all"),
        ({"federation__mode": "md-gan", "federation__local_steps": 4}, "2 generator step(s) a round, 4 in all"),
        ({"federation__local_steps": 4}, "4 generator step(s) a round, 8 in all over the clients; 4 in a row"),
        ({"federation__local_steps": 4, "federation__client_fraction": 0.5},
         "2 generator step(s) a round, 4 in all"),
        ({"federation__local_steps": 4, "federation__client_fraction": 0.5, "federation__aggregate": "discriminator"},
         "2 generator step(s) a round, 4 in all over the clients; 2 in a row"),
    ],
)  # fmt: skip
def test_the_steps_of_each_mode(small_config, clockwork, changes, words):
    assert list(budget_lines(resolved(small_config, **changes), WorkerResources(1)))[1] == f"budget: {words}"


STEP = StepTime({"discriminator": 1.0, "generator": 3.0}, batch_size=8, timed_tiles=8, device="cpu")


@pytest.mark.parametrize(
    ("changes", "workers", "expected_s"),
    [  # with n_critic 2: 2.5 s a discriminator step and its share of a generator's
        ({}, WorkerResources(1), 2.5 * (10 + 2)),
        ({}, WorkerResources(2), 2.5 * 10),  # the larger client is waited for
        ({}, WorkerResources(2, gpus_per_worker=0.5), 2.5 * (10 + 2)),  # both share a GPU
        ({}, WorkerResources(2, gpus_per_worker=1.0), 2.5 * 10),
        ({"federation__client_fraction": 0.5}, WorkerResources(1), 2.5 * 10),
        ({"federation__mode": "centralised"}, WorkerResources(2), 2.5 * (10 + 2) / 2),
        ({"federation__mode": "md-gan"}, WorkerResources(1), 3 * 2 * (2 * 1.0 + 3.0)),  # iterations x clients
        ({"federation__mode": "md-gan"}, WorkerResources(2), 3 * 1 * (2 * 1.0 + 3.0)),
    ],
)
def test_a_rounds_seconds_by_hand(small_config, changes, workers, expected_s):
    steps = np.array([10, 2])
    budget = StepBudget(8 * steps, 0, steps, per_round=(3, 3), total=6, in_a_row=np.array([5.0, 1.0]))
    assert round_seconds(resolved(small_config, **changes), budget, STEP, workers) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("batch_size", "patience_s", "timed_tiles"),
    [(32, 1.0, 32), (32, 0.0479, 8), (32, 0.048, 32), (5, 1.0, 5), (2, 1e-6, 2), (4096, 0.1, 32)],
)
def test_a_large_batch_is_timed_on_fewer_tiles_and_extrapolated(
    small_config, clockwork, batch_size, patience_s, timed_tiles
):
    step = time_steps(small_config(), batch_size, 1, patience_s)
    assert (step.batch_size, step.timed_tiles) == (batch_size, timed_tiles)
    assert step.seconds["discriminator"] == pytest.approx(0.001 * batch_size)
    assert step.seconds["generator"] == pytest.approx(0.0005 * batch_size)
    assert len(clockwork) <= 10 and 0.0015 * sum(clockwork) <= max(0.003, 4 * patience_s)


def test_what_a_step_takes_whatever_its_tiles_is_not_multiplied_by_them(small_config, monkeypatch):
    monkeypatch.setattr(
        GanStepper, "take", lambda stepper, num: {"discriminator": 0.02 + 0.001 * num, "generator": 0.03}
    )
    step = time_steps(small_config(), 4096, 1, patience_s=0.25)
    assert step.timed_tiles == 128
    assert step.seconds == pytest.approx({"discriminator": 0.02 + 4.096, "generator": 0.03})


def test_how_long_tiles_take_is_told_where_it_is_much_beside_training(small_config, monkeypatch):
    monkeypatch.setattr(budget, "time_tiles", lambda config, num: 0.5 * num)  # of 16 tiles: 8 s
    often, seldom = resolved(small_config), resolved(small_config, evaluation__every=2)
    [line] = sampling_lines(often, round_s=10.0)
    assert line.startswith("budget: about 8 s more every round to make the 16 tiles that are scored")
    assert "8 s more every 2 rounds to make" in next(sampling_lines(seldom, round_s=39.0))
    assert list(sampling_lines(seldom, round_s=41.0)) == []
    monkeypatch.setattr(budget, "time_tiles", lambda config, num: 0.9)
    assert list(sampling_lines(often, round_s=0.1)) == [], "less than a second is not worth a line"
    assert list(sampling_lines(ExperimentConfig(task="classification"), round_s=0.0)) == []


def test_making_tiles_is_timed_for_real(small_config):
    random = torch.get_rng_state()
    assert 0 < time_tiles(small_config(), 16) < 60
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    "changes",
    [{}, {"federation.strategy": "fedprox", "gan.dropout": 0.3},
     {"gan.objective": "acgan", "gan.compile": True, "gan.generator": "residual"}],
)  # fmt: skip
def test_timing_leaves_all_as_it_was(small_config, changes):
    """The same networks begin the experiment that follows, and the same random numbers."""
    config = override(small_config(), changes, "test").resolved()
    before = fresh_gan(config.gan, tile_shape(config.data), config.seed, "cpu").arrays()
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    step = time_steps(config, 4, num_threads=threads + 1, patience_s=60)
    assert min(step.seconds.values()) > 0 and (step.timed_tiles, step.device) == (4, "cpu")
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), random)
    after = fresh_gan(config.gan, tile_shape(config.data), config.seed, "cpu")
    assert all(np.array_equal(before[name], array) for name, array in after.arrays().items())
    assert all(value.grad is None for part in (after.generator, after.discriminator) for value in part.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gan__n_critic": 5, "federation__num_rounds": 50},
        {"federation__local_steps": 3, "federation__num_rounds": 70},
        {"federation__mode": "md-gan", "federation__num_rounds": 20},
        {"federation__mode": "centralised"},
        {"federation__aggregate": "discriminator", "federation__client_fraction": 0.5, "federation__num_clients": 3},
    ],
)
def test_every_option_that_a_warning_offers_would_do_and_the_next_smaller_change_would_not(small_config, changes):
    config = resolved(small_config, **changes)
    [warning] = short_training([config])
    offered = re.findall(r"--(\S+) (\d+)", warning)
    assert "federation.num-rounds" in dict(offered)
    for option, value in offered:
        path, value = option.replace("-", "_"), int(value)
        toward = -1 if path in ("federation.num_rounds", "federation.local_epochs", "federation.local_steps") else 1
        assert usual_steps(override(config, {path: value}, "test")) >= ENOUGH.steps
        if path != "federation.local_steps" or config.federation.local_steps:  # unset, it is no number to come from
            assert usual_steps(override(config, {path: value + toward}, "test")) < ENOUGH.steps


def usual_steps(config):
    budget = step_budget(config)
    return (budget.in_a_row * budget.tiles).sum() / budget.tiles.sum()


def test_options_that_cannot_do_are_not_offered_nor_those_that_a_sweep_searches(small_config):
    few = resolved(small_config, gan__n_critic=5)
    [warning] = short_training([few], searched=["federation.local_epochs"])
    assert "n-critic" not in warning and "batch-size" not in warning and "local-epochs" not in warning
    near = resolved(small_config, gan__n_critic=2, federation__num_rounds=400)
    [warning] = short_training([near])
    assert "--gan.n-critic 1" in warning and "--gan.batch-size " in warning
    many = resolved(small_config, federation__num_rounds=800)
    assert list(short_training([many])) == []
    assert list(short_training([few, many, near])) == [], "a sweep whose longest trials are long enough"
    [told] = short_training([few, near])
    assert "takes 0 to 400 steps in a row" in told and "for as many in the longest trial, one of: " in told


@pytest.mark.parametrize(
    ("num_rounds", "beginning"),
    [(99, "warning: expect noise: "), (100, "budget: short: "), (ENOUGH.steps - 1, "budget: short: ")],
)
def test_it_is_a_warning_only_where_tiles_will_be_noise(small_config, num_rounds, beginning):
    config = resolved(small_config, gan__n_critic=2, federation__num_rounds=num_rounds)
    assert usual_steps(config) == num_rounds
    [told] = short_training([config])
    assert told.startswith(f"{beginning}a generator takes {num_rounds} steps in a row")
    assert f"--federation.num-rounds {ENOUGH.steps}" in told
