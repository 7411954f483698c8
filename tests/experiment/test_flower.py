"""The run config of `flwr run` becomes an experiment of as many clients as there are nodes."""

from types import SimpleNamespace

import pytest

from fedray.config import ConfigError
from fedray.experiment.flower import config_of, measured_by


def context(store, **given):
    named = {name.replace("__", "."): value for name, value in given.items()}
    return SimpleNamespace(run_config={"data.store": str(store.path), "data.tile_size": "", **named})


def test_the_number_of_nodes_decides_about_a_robust_strategy(small_store):
    run = context(small_store, federation__strategy="krum", federation__num_malicious=1)
    assert measured_by(run).evaluation.num_samples == 20, "it can be prepared before the nodes are there"
    config = config_of(run, num_nodes=5)
    assert (config.num_clients, config.federation.strategy, config.data.tile_size) == (5, "krum", 16)
    with pytest.raises(ConfigError, match="here 5, but 4 clients are sure to answer"):
        config_of(run, num_nodes=4)


def test_what_is_measured_is_what_the_run_config_says(small_store):
    run = context(small_store, evaluation__split="train", evaluation__num_samples=16, seed=3)
    assert measured_by(run).evaluation == config_of(run, num_nodes=2).evaluation
