"""A configuration says what runs: what the store decides is filled in, and what contradicts it is refused."""

import pytest

from fedray.config import (
    ConfigError,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    GanConfig,
    load_config,
    override,
    save_config,
)
from fedray.data import StoreError, client_partition, local_store, open_store, write_store
from fedray.evaluation import score_names
from fedray.experiment import from_store, settled
from fedray.experiment.notes import notes
from fedray.experiment.tracked import describe
from fedray.results.basis import OTHER_TILES, basis_of, changes
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """48 tiles of 24 px, 24 of them to test, from two scanners."""
    tiles = (tile._replace(domain=index % 2) for index, tile in enumerate(random_tiles(48, size=24)))
    names = {"label_names": ["dark", "bright"], "domain_names": ["one", "two"]}
    return write_store(tmp_path_factory.mktemp("settled") / "store", tiles, **names)


def config_of(store, **changes):
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return override(ExperimentConfig(), {"data.store": str(store.path), **changes}, "test")


def test_what_is_unset_becomes_what_runs(store, tmp_path):
    config = settled(config_of(store))
    assert (config.data.tile_size, config.data.num_domains, config.evaluation.num_samples) == (24, 2, 24)
    assert config.partition.keep_groups is False  # each tile is a group of its own
    assert config.gan.n_critic == 5
    assert score_names(config.evaluation, store)[0] == "fid/efficientnet-lite0/24"
    assert settled(config) == config
    save_config(config, tmp_path / "config.yaml")
    assert settled(load_config(tmp_path / "config.yaml")) == config


def test_the_embedded_data_set_is_built_as_ever():
    config = settled(ExperimentConfig())
    assert (config.data.tile_size, config.data.num_domains, config.evaluation.num_samples) == (32, 1, 256)
    assert open_store(DataConfig()).fingerprint == open_store(DataConfig(tile_size=32, num_domains=1)).fingerprint


def test_a_sweeps_fixed_part_keeps_what_each_trial_fills_in(store):
    """An objective that is searched brings its own recipe."""
    fixed = from_store(config_of(store))
    assert fixed.gan.n_critic is None
    assert override(fixed, {"gan.objective": "acgan"}, "test").resolved().gan.n_critic == 1


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        ({"data__tile_size": 32}, StoreError,
         "data.tile_size is 32, but the tile store {store} has 24; leave data.tile_size out"),
        ({"data__num_domains": 1}, StoreError, "data.num_domains is 1, but the tile store {store} has 2; leave"),
        ({"evaluation__num_samples": 25}, ConfigError,
         "evaluation.num_samples must be at most the number of test tiles, 24 in 'store', but got 25; leave it out"),
        ({"evaluation__num_samples": 256, "evaluation__split": "train"}, ConfigError, "number of train tiles, 24 in"),
    ],
)  # fmt: skip
def test_what_contradicts_the_store_is_refused(store, changes, error, expected):
    with pytest.raises(error) as refused:
        settled(config_of(store, **changes))
    assert expected.format(store=store.path) in str(refused.value)


@pytest.mark.parametrize("changes", [{"data__tile_size": 24, "data__num_domains": 2}, {"evaluation__num_samples": 24}])
def test_what_agrees_with_the_store_is_not(store, changes):
    assert settled(config_of(store, **changes)) == settled(config_of(store))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"tile_size": 8}, "data.tile_size must be 16 to 256 and a multiple of 8 for 'colon', but got 8"),
        ({"tile_size": 36}, "but got 36"),
        ({"num_domains": 5}, "data.num_domains must be 1 to 4 for 'colon', but got 5"),
    ],
)
def test_the_embedded_data_set_has_its_limits(data, expected):
    with pytest.raises(ConfigError) as refused:
        override(ExperimentConfig(), {f"data.{name}": value for name, value in data.items()}, "test")
    assert expected in str(refused.value)


def test_tiles_that_no_client_gets_are_told_and_tagged(tmp_path):
    tiles = [tile for index, tile in enumerate(random_tiles(80)) if tile.label == 0 or index < 40]
    few = write_store(tmp_path / "few", iter(tiles), label_names=["dark", "bright"])
    config = settled(config_of(few, partition__scheme="majority-label", federation__num_clients=2))
    unused, num_train = client_partition(config).unused, len(few.indices("train"))
    assert 0 < unused < num_train
    (note,) = notes(config, few)
    assert note.startswith(f"partition 'majority-label' leaves {unused} of {num_train} training tiles unused: ")
    assert describe(config, few)["fedray.tiles-unused"] == str(unused)
    tail = settled(config_of(few, partition__scheme="imbalance", partition__tail_ratio=10, federation__num_clients=2))
    (note,) = notes(tail, few)
    assert "tiles unused: beyond partition.tail_ratio, of partition.absent_cells, or in cells" in note
    even = settled(config_of(few))
    assert notes(even, local_store(even.data)) == []
    assert describe(even, few)["fedray.tiles-unused"] == "0"


@pytest.mark.parametrize(
    ("discriminator", "asked", "expected"),
    [
        ("cnn", None, "efficientnet-lite0"),
        ("projected", None, "domain-cnn"),
        ("projected", "efficientnet-lite0", "efficientnet-lite0"),
    ],
)
def test_features_that_a_discriminator_trains_against_do_not_judge_it(discriminator, asked, expected):
    gan = GanConfig(objective="cgan-hinge", discriminator=discriminator)
    evaluation = EvaluationConfig(extractor=asked)
    assert settled(ExperimentConfig(gan=gan, evaluation=evaluation)).evaluation.extractor == expected


def test_synthetic_tiles_are_part_of_what_runs_and_what_is_not_known_of_them_is_said(
    small_store, tmp_path, monkeypatch
):
    made = [tile._replace(split="train") for tile in random_tiles(30, seed=1)]
    origins = {"nothing": {}, "elsewhere": {"learned-from": "0"}, "here": {"learned-from": small_store.fingerprint}}
    for name, origin in origins.items():
        write_store(tmp_path / name, iter(made), label_names=["dark", "bright"], origin=origin)
    monkeypatch.chdir(tmp_path)
    told = {}
    for name in origins:
        synthetic = {"classification__tiles": "both", "classification__synthetic": name, "task": "classification"}
        config = settled(config_of(small_store, **synthetic))
        assert config.classification.synthetic == str(tmp_path / name) and settled(config) == config
        first, *told[name] = notes(config, small_store)
        assert first == "trains on 20 real and 30 synthetic tiles, and is tested on real ones"
    assert told["here"] == []
    assert "does not say what they were learned from" in told["nothing"][0]
    assert "learned from another store" in told["elsewhere"][0] and "may have seen the tiles" in told["elsewhere"][0]
    plain, other = settled(config_of(small_store, task="classification")), basis_of(config, small_store)
    assert OTHER_TILES not in basis_of(plain, small_store)
    assert other[OTHER_TILES] == open_store(DataConfig(store=str(tmp_path / "here"))).fingerprint
    assert changes(other, {**other, OTHER_TILES: "another"})[0].endswith("put that store back as it was")
