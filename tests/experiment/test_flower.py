"""The run config of `flwr run` becomes an experiment of as many clients as there are nodes."""

import logging
from types import SimpleNamespace

import pytest

from fedray.config import ConfigError
from fedray.experiment.flower import config_of, main, measured_by
from fedray.federation import load_checkpoint
from tests.support.sites import site_grid
from tests.support.small import SMALL


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


def test_sites_train_where_the_server_has_no_tile_and_it_keeps_the_networks(small_store, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path))
    run = SimpleNamespace(run_config={**SMALL, "data.store": "sites"}, run_id=7)
    # Flower's own logger, whether or not it hands on what it is told: its simulations turn that off.
    monkeypatch.setattr(logging.getLogger("flwr"), "handlers", [caplog.handler])
    with caplog.at_level("INFO", "flwr"):
        main(site_grid([small_store.path, small_store.path]), run)
    kept = tmp_path / "runs" / "sites-7" / "checkpoint" / "round-00002"
    assert load_checkpoint(kept)[0].round_index == 2
    told = [record.getMessage() for record in caplog.records]
    assert "2 sites have 40 training tiles of 16 px; labels: 0 dark, 1 bright" in told
    assert any(line.startswith("round 2 of 2: loss/discriminator/") for line in told)
    assert f"the averaged networks are in {kept.parent}" in told
