"""The centralised baseline on Ray Train against the plain local pass and against the sum of its parts."""

import numpy as np
import pytest
import torch

from fedray.config import ConfigError
from fedray.data import partitioned_store, tile_shape
from fedray.experiment import ExperimentRun, prepare_judge
from fedray.experiment.engines.ray_train import CentralisedRun
from fedray.experiment.judging.samples import PREVIEW_TILES
from fedray.federation import DivergedError, client_app, shared_arrays
from fedray.learning import shuffled_batches
from fedray.randomness import derive_seed
from fedray.simulation import NoWorkerError, WorkerResources
from fedray.tasks.gan import Gan, GanSteps, Optimizers, local_pass
from fedray.testing import LocalGrid
from tests.support.federation import first_state
from tests.support.hooks import Seen
from tests.support.ray_train import stand_in_for_ray_train

CENTRALISED = {"federation__mode": "centralised", "evaluation__every": 10}


@pytest.fixture
def train(ray_session):
    """Return a maker of runs that are closed in the end."""
    runs = []

    def make(config, num_workers):
        _, prepared = prepare_judge(config)
        runs.append(CentralisedRun(config, WorkerResources(num_workers, cpus_per_worker=1), prepared))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


@pytest.fixture
def in_this_process(monkeypatch):
    """The one worker of a training, without the processes that Ray Train starts for it; two are its own below."""
    stand_in_for_ray_train(monkeypatch)


def finish(run):
    results = []
    while not run.done:
        results.append(run.step())
    return results


@pytest.fixture(scope="module")
def baseline(ray_session, small_config, tmp_path_factory):
    """Two rounds on one worker: (the run, its results, the folder of the checkpoint after the first)."""
    config, folder = small_config(**CENTRALISED), tmp_path_factory.mktemp("baseline")
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in_for_ray_train(monkeypatch)
        run = CentralisedRun(config, WorkerResources(1, cpus_per_worker=1), prepare_judge(config)[1])
        untrained = ExperimentRun(config, LocalGrid(client_app, 1)).preview()
        assert np.array_equal(run.preview(), untrained) and untrained.shape[:2] == (2, PREVIEW_TILES)
        results = [run.step()]
        run.save(folder)
        results += finish(run)
        run.close()
    return run, results, folder


def test_with_one_worker_it_is_the_local_pass_of_one_client_with_all_tiles(baseline):
    run, results, _ = baseline
    config = run.config
    gan = Gan(config.gan, tile_shape(config.data), config.seed)
    optimizers, client = Optimizers(gan), partitioned_store(config).tiles(0)
    steps = -(-len(client.tiles) // config.gan.batch_size)
    for round_index in (1, 2):
        seed = derive_seed(config.seed, "client", round_index, 0)
        report = local_pass(gan, optimizers, client, num_steps=steps, steps_before=(round_index - 1) * steps, seed=seed)
        assert results[round_index - 1].report.losses == pytest.approx(report.losses, rel=1e-5)
    for name, value in gan.arrays().items():
        np.testing.assert_allclose(shared_arrays(run.state)[name], value, atol=1e-6, err_msg=name)
    # A sweep's trial runs the same baseline as a federation of one client.
    as_client = ExperimentRun(config, LocalGrid(client_app, 1))
    finish(as_client)
    for name, value in shared_arrays(as_client.state).items():
        np.testing.assert_allclose(shared_arrays(run.state)[name], value, atol=1e-6, err_msg=name)


def test_two_workers_take_the_step_of_their_mean_gradient(small_config, train):
    """One discriminator step on two halves of a batch, written out; GroupNorm, so that halves are independent."""
    config = small_config(**CENTRALISED, federation__num_rounds=1, federation__local_steps=1, gan__generator="residual")
    run = train(config, 2)
    finish(run)
    gradients = []
    for rank in (0, 1):
        gan = Gan(config.gan.model_copy(update={"batch_size": 4}), tile_shape(config.data), config.seed)
        seed = derive_seed(config.seed, "client", 1, 0, *([rank] if rank else []))
        share = partitioned_store(config).tiles(0).chosen(slice(rank, None, 2))

        def keep(name, network):
            gradients.append([value.grad.clone() for value in network.parameters()])

        random = torch.Generator().manual_seed(derive_seed(seed, "step"))
        steps = GanSteps(gan, Optimizers(gan), random, hooks=[Seen(keep)])
        how = {"augment": gan.config.augment, "channels_last": gan.config.channels_last}
        steps.discriminator(*next(shuffled_batches(share, gan.config.batch_size, gan.device, seed, **how)))
    gan = Gan(config.gan, tile_shape(config.data), config.seed)
    for parameter, first, second in zip(gan.discriminator.parameters(), *gradients, strict=True):
        parameter.grad = (first + second) / 2
    Optimizers(gan).discriminator.step()
    found = shared_arrays(run.state)
    for name, value in gan.arrays(("discriminator",)).items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_a_resumed_baseline_equals_one_without_interruption(baseline, train, in_this_process):
    whole, _, folder = baseline
    resumed = train(whole.config, 1)
    resumed.load(folder)
    assert resumed.state.round_index == 1
    finish(resumed)
    for name, value in shared_arrays(whole.state).items():
        np.testing.assert_allclose(shared_arrays(resumed.state)[name], value, atol=1e-6, err_msg=name)


def test_divergence_ends_all_workers_at_once(small_config, train):
    config = small_config(**CENTRALISED, gan__discriminator_lr=1e18, federation__local_steps=8)
    with pytest.raises(DivergedError, match=r"round \d: \w+/loss is not finite; smaller learning rates may help"):
        finish(train(config, 2))


def test_a_last_step_that_explodes_is_divergence(small_config, train, in_this_process):
    """Its loss is finite, its weights are not."""
    config = small_config(**CENTRALISED, gan__discriminator_lr=1e39, federation__local_steps=1)
    told = r"round 1: discriminator\..* not finite; smaller learning rates may help"
    with pytest.raises(DivergedError, match=told):
        finish(train(config, 1))


def test_it_starts_where_a_federation_starts(small_config, train):
    config = small_config(**CENTRALISED)
    expected = shared_arrays(first_state(config))
    assert all(np.array_equal(value, expected[name]) for name, value in shared_arrays(train(config, 1).state).items())


def test_more_workers_than_tiles_are_refused(small_config):
    config = small_config(**CENTRALISED)
    rule = r"num_workers must be at most the number of training tiles \(20\).*but got 21; lower it"
    with pytest.raises(ConfigError, match=rule):
        CentralisedRun(config, WorkerResources(21, cpus_per_worker=1), [])


def test_workers_that_find_no_room_are_not_waited_for_for_ever(small_config, train):
    run = train(small_config(**CENTRALISED, resources__start_timeout_s=1), 5)
    rule = (
        r"did not start within 1 s: asked for 5 worker\(s\) of 1 CPU .+ the cluster has 4 CPU.+; lower cpus_per_worker"
    )
    with pytest.raises(NoWorkerError, match=rule):
        run.step()
