"""What every task must do for the federation, whatever it trains."""

import numpy as np
import pytest

from fedray.config import TASKS, ExperimentConfig, override
from fedray.data import LabelledTiles, TileShape
from fedray.learning import Hook
from fedray.tasks import Pass, shared_parts, task_of

SHAPE = TileShape(16, 3, 2)
SMALL = {
    "gan.latent_dim": 8,
    "gan.generator_channels": 8,
    "gan.discriminator_channels": 8,
    "gan.n_critic": 2,
    "gan.batch_size": 4,
    "classification.channels": 8,
    "classification.batch_size": 4,
}


@pytest.fixture(params=TASKS)
def config(request):
    return override(ExperimentConfig(), {**SMALL, "task": request.param, "federation.num_rounds": 3}, "test")


def tiles(num=9):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (num, 16, 16, 3), dtype=np.uint8)
    return LabelledTiles(pixels, np.arange(num) % 2, np.zeros(num, np.int64))


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(value, second[name]) for name, value in first.items())


def trained(config, learner, optimizers=None, steps_before=0):
    task = task_of(config)
    optimizers = optimizers or task.optimizers(learner)
    report = task.train(config, learner, optimizers, tiles(), Pass(2, steps_before, seed=steps_before))
    return report, optimizers


def all_arrays(config, learner):
    task = task_of(config)
    return learner.arrays([*task.shared(config), *task.private(config)])


def test_a_task_is_a_section_of_the_configuration_with_a_batch_size(config):
    assert getattr(config, config.task).batch_size == 4


def test_the_shared_and_the_private_parts_are_all_there_is(config):
    learner = task_of(config).make(config, SHAPE, "cpu")
    names = {*task_of(config).shared(config), *task_of(config).private(config)}
    assert names == set(learner.parts()) >= set(learner.networks()) == set(learner.rates())
    assert {name.partition(".")[0] for name in all_arrays(config, learner)} == names
    assert set(learner.trained(shared_parts(config))) <= set(learner.arrays(shared_parts(config)))


def test_fresh_is_what_is_made_however_it_was_used(config):
    task = task_of(config)
    made = all_arrays(config, task.make(config, SHAPE, "cpu"))
    used = task.fresh(config, SHAPE, "cpu")
    trained(config, used)
    assert not same(all_arrays(config, used), made)
    assert same(all_arrays(config, task.fresh(config, SHAPE, "cpu")), made)


def test_any_subset_of_the_arrays_is_loaded_by_name(config):
    task = task_of(config)
    one, other = (task.make(config.model_copy(update={"seed": seed}), SHAPE, "cpu") for seed in (0, 1))
    before, arrays = all_arrays(config, one), all_arrays(config, other)
    chosen = dict(list(arrays.items())[::3])
    one.load(chosen)
    assert same(all_arrays(config, one), before | chosen)


def test_a_pass_reports_what_it_did_and_goes_on_from_arrays_alone(config):
    task = task_of(config)
    whole, first, second = (task.make(config, SHAPE, "cpu") for _ in range(3))
    report, kept = trained(config, whole)
    assert report.num_examples == 9 and set(report.steps) == set(whole.networks())
    assert {name.partition("/")[0] for name in report.losses} == set(whole.networks())
    trained(config, whole, kept, steps_before=2)
    _, moments = trained(config, first)
    second.load(all_arrays(config, first))
    restored = task.optimizers(second)
    restored.load(moments.arrays())
    trained(config, second, restored, steps_before=2)
    for name, value in all_arrays(config, whole).items():
        np.testing.assert_allclose(all_arrays(config, second)[name], value, atol=1e-6, err_msg=name)


def test_steps_are_whole_epochs_or_as_many_as_are_asked_for(config):
    task = task_of(config)
    epochs = override(config, {"federation.local_epochs": 3}, "test")
    assert task.steps(epochs, 8) == 6
    assert task.steps(override(config, {"federation.local_steps": 5}, "test"), 8) == 5


def test_a_hook_is_shown_every_network_before_its_step(config):
    task, seen = task_of(config), set()
    learner = task.make(config, SHAPE, "cpu")

    class Look(Hook):
        def gradient(self, name, network):
            assert network is learner.networks()[name]
            assert any(parameter.grad is not None for parameter in network.parameters())
            seen.add(name)

    task.train(config, learner, task.optimizers(learner), tiles(), Pass(2, 0, seed=0, hooks=[Look()]))
    assert seen == set(learner.networks())
