"""Who computes an experiment: what 'auto' comes to, what is refused, and that one opening serves job and trial."""

import pytest

from fedray.config import ConfigError, override
from fedray.experiment import prepare_judge
from fedray.experiment.engines import ExperimentRun, open_experiment, start_workers
from fedray.experiment.engines.ray_train import CentralisedRun
from fedray.simulation import WorkerResources
from tests.support.spaces import small_space

ONE = WorkerResources(1, cpus_per_worker=1)


@pytest.mark.parametrize(
    ("changes", "engine"),
    [
        ({}, "workers"),
        ({"federation.mode": "md-gan"}, "workers"),
        ({"federation.mode": "centralised"}, "ray-train"),
        ({"federation.mode": "centralised", "resources.engine": "ray-train"}, "ray-train"),
        ({"federation.mode": "centralised", "resources.engine": "workers"}, "workers"),
    ],
)
def test_what_each_configuration_runs_on(small_config, changes, engine):
    assert override(small_config(), changes, "test").engine == engine


@pytest.mark.parametrize("mode", ["federated", "md-gan"])
def test_ray_train_divides_a_centralised_training_alone(small_config, mode):
    with pytest.raises(ConfigError, match=f"'ray-train' divides .* needs .*mode 'centralised', but got '{mode}'"):
        override(small_config(), {"federation.mode": mode, "resources.engine": "ray-train"}, "test")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resources.engine": "ray-train"}, "fixed.resources.engine must not be 'ray-train' in a sweep"),
        ({"resources.num_workers": 2}, "fixed.resources.num_workers must be 1 in a sweep .* but got 2; leave it out"),
    ],
)
def test_a_trial_divides_no_batch(small_store, changes, words):
    space = small_space(small_store)
    fixed = override(space.fixed, {"federation.mode": "centralised", **changes}, "test")
    with pytest.raises(ConfigError, match=words):
        space.with_changes(fixed, {})


def test_a_centralised_training_is_one_client_on_workers_or_a_share_of_ray_train(ray_session, small_config):
    central = override(small_config(), {"federation.mode": "centralised"}, "test")
    _, prepared = prepare_judge(central)
    with open_experiment(central, ONE, prepared) as run:  # starts nothing before the first step
        assert isinstance(run, CentralisedRun) and run.state.round_index == 0
    with start_workers(central, ONE, prepared) as pool:
        for engine in ("auto", "workers"):
            config = override(central, {"resources.engine": engine}, "test")
            with open_experiment(config, ONE, prepared, pool=pool) as run:
                assert isinstance(run, ExperimentRun)
                assert len(list(run.grid.get_node_ids())) == 1
        asked = override(central, {"resources.engine": "ray-train"}, "test")
        with open_experiment(asked, ONE, prepared, pool=pool) as run:
            assert isinstance(run, CentralisedRun)
        assert pool.run(abs, -3, timeout_s=60) == 3  # it stays for the next experiment
