"""Which tiles of the store go to whom, and how many an experiment hands out."""

import numpy as np
import pytest

from fedray.config import ConfigError
from fedray.data import (
    AllocationError,
    StoreError,
    Supply,
    client_partition,
    handed_out,
    partitioned_store,
    training_sizes,
    with_synthetic,
    write_store,
)
from fedray.data.distribution import distinct, local_plan
from fedray.data.tiles import TileShape, count_cells, count_clipped
from tests.support.classifiers import experiment
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """60 tiles, 40 of them dark, and 10 of the bright ones of a second scanner; one is for tests."""
    tiles = (
        tile._replace(label=int(index < 40), domain=int(index >= 50), split="train" if index else "test")
        for index, tile in enumerate(random_tiles(60, seed=1))
    )
    folder = tmp_path_factory.mktemp("stores") / "made"
    return write_store(folder, tiles, label_names=["bright", "dark"], domain_names=["first", "second"])


@pytest.fixture(scope="module")
def of_one_scanner(tmp_path_factory):
    tiles = (tile._replace(label=1 - tile.label, split="train") for tile in random_tiles(60, seed=1))
    return write_store(tmp_path_factory.mktemp("stores") / "made", tiles, label_names=["bright", "dark"])


@pytest.fixture
def supply(made):
    return Supply(made, ("dark", "bright"), ("second", "first", "third"))


def fedssg(store, made, **changes):
    skewed = {"partition__scheme": "majority-label", "partition__majority_share": 0.8}
    named = {"federation__mode": "fedssg", "classification__tiles": "both", "classification__synthetic": str(made.path)}
    return experiment(store, **{**skewed, **named, **changes})


def test_the_stock_counts_training_tiles_in_the_experiments_codes(supply, made):
    assert supply.stock().tolist() == [[0, 39, 0], [10, 10, 0]]
    handed = supply.read(np.array([59, 1]))
    assert handed.labels.tolist() == [1, 0] and handed.domains.tolist() == [0, 1]
    assert (handed.tiles[1] == made.tiles([1])[0]).all()


def test_everybody_gets_the_planned_cells_and_a_cells_tiles_go_round(supply):
    random = np.random.default_rng(0)
    handed_so_far = []
    plan = random.integers(0, 6, (3, 2, 3)) * (supply.stock() > 0)
    for turn in range(4):
        choices = handed_out(supply, plan, seed=1, turn=turn)
        for client, indices in enumerate(choices):
            assert len(np.unique(indices)) == len(indices)
            labels, domains = supply.codes(indices)
            counts = np.zeros((2, 3), int)
            np.add.at(counts, (labels, domains), 1)
            assert (counts == plan[client]).all()
        handed_so_far += np.concatenate(choices).tolist()
        times = np.bincount(handed_so_far, minlength=60)
        labels, domains = supply.codes(np.arange(60))
        for label, domain in zip(*np.nonzero(plan.sum(0)), strict=True):
            cell = times[1:][(labels[1:] == label) & (domains[1:] == domain)]
            assert np.ptp(cell) <= 1, "none goes out again before all have"
    assert 0 not in handed_so_far, "a test tile is no stock"


def test_draws_hang_on_the_seed_and_alike_choices_are_found(supply):
    plan = np.zeros((3, 2, 3), int)
    plan[:, 0, 1] = [5, 39, 39]
    first, again, other = (handed_out(supply, plan, seed, 0) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert set(first[0]) != set(other[0])
    assert list(distinct(first).values()) == [[0], [1, 2]]


@pytest.mark.parametrize("per_real", [None, 0.3])
def test_an_experiment_knows_its_sizes_before_it_starts(small_store, of_one_scanner, per_real):
    config = fedssg(small_store, of_one_scanner, classification__synthetic_per_real=per_real)
    real = client_partition(config).sizes()
    plan = local_plan(config)
    own = [partitioned_store(config).tiles(client) for client in range(2)]
    counts = np.array([np.bincount(tiles.labels, minlength=2) for tiles in own])
    assert [partitioned_store(config).counts(client).tolist() for client in range(2)] == counts[:, :, None].tolist()
    lacking = counts.max(1) - counts.min(1)
    if per_real is None:
        assert plan.sum((1, 2)).tolist() == lacking.tolist()
    assert plan.sum() == min(lacking.sum(), round((per_real or 9) * real.sum()))
    assert training_sizes(config).tolist() == (real + plan.sum((1, 2))).tolist()
    assert with_synthetic(config, own[0], 0) is own[0], "a client opens nothing itself"


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        (
            {"classification__synthetic_per_real": 0.01},
            AllocationError,
            r"at least 1 tile .* but got 0; raise .*per_real",
        ),
        ({"classification__synthetic": "nowhere"}, StoreError, "no 'nowhere'"),
    ],
)
def test_what_cannot_be_handed_out_is_refused_before_anything_starts(small_store, of_one_scanner, changes, error, told):
    with pytest.raises(error, match=told):
        training_sizes(fedssg(small_store, of_one_scanner, **changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"classification__tiles": "real", "classification__synthetic": None},
            "needs classification.tiles 'both', but got 'real'",
        ),
        ({"classification__tiles": "synthetic"}, "needs classification.tiles 'both', but got 'synthetic'"),
        (
            {"federation__mode": "federated", "classification__allocation": "cover"},
            "allocation is for federation.mode 'fedssg'",
        ),
        (
            {"federation__mode": "federated", "classification__refresh_every": 2},
            "refresh_every is for federation.mode 'fedssg'",
        ),
        (
            {"federation__mode": "federated", "classification__count_noise": 1.0},
            "count_noise is for federation.mode 'fedssg'",
        ),
        ({"classification__count_clip": 4.0}, "count_clip is 4, but classification.count_noise is 0"),
        (
            {"federation__mode": "federated", "classification__count_clip": 4.0},
            "count_clip is for federation.mode 'fedssg'",
        ),
        (
            {"federation__mode": "federated", "data__store": "sites", "partition__scheme": "iid"},
            "take federation.mode 'fedssg'",
        ),
        ({"classification__synthetic_per_real": 0.0}, "classification.synthetic_per_real"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(small_store, of_one_scanner, changes, told):
    with pytest.raises(ConfigError, match=told):
        fedssg(small_store, of_one_scanner, **changes)


def test_no_patient_counts_for_more_than_the_limit():
    """Against a loop over patients; one more or less, with whatever tiles, changes the counts by the limit at most."""
    random, shape, limit = np.random.default_rng(0), TileShape(16, 3, 3, 2), 4.0
    groups = random.choice([3, 5, 8, 1000], 300, p=[0.7, 0.2, 0.09, 0.01])
    labels, domains = random.integers(0, 3, 300), random.integers(0, 2, 300)
    counts = count_clipped(shape, labels, domains, groups, limit)
    expected = np.zeros((3, 2))
    for group in np.unique(groups):
        own = count_cells(shape, labels[groups == group], domains[groups == group])
        expected += own * min(1.0, limit / np.linalg.norm(own))
        without = groups != group
        change = counts - count_clipped(shape, labels[without], domains[without], groups[without], limit)
        assert np.linalg.norm(change) <= limit + 1e-9
    assert np.allclose(counts, expected) and counts.sum() < 300
    unclipped = count_clipped(shape, labels, domains, groups, 300)
    assert np.allclose(unclipped, count_cells(shape, labels, domains))
    assert not count_clipped(shape, labels[:0], domains[:0], groups[:0], limit).any()


def test_what_is_planned_is_planned_from_clipped_counts(small_store, of_one_scanner):
    """Tiles of the small store are patients of their own: none is clipped at 1 tile, and half of each at 0.5."""
    noise = {"classification__count_noise": 1e-3, "federation__num_clients": 1, "classification__allocation": "cover"}
    source = partitioned_store(fedssg(small_store, of_one_scanner, **noise))
    whole, half = (source.clipped_counts(0, limit) for limit in (1.0, 0.5))
    assert (whole == source.counts(0)).all() and (half == source.counts(0) / 2).all()
    skewed = {**noise, "federation__num_clients": 2, "classification__allocation": "balance"}
    full, clipped = (
        local_plan(fedssg(small_store, of_one_scanner, **skewed, classification__count_clip=clip)) for clip in (1, 0.5)
    )
    assert 0 < clipped.sum() < full.sum()


def test_other_tasks_have_nothing_to_hand_out(small_config):
    with pytest.raises(ConfigError, match=r"'fedssg' hands labelled tiles to classifiers, .* but got 'gan'"):
        small_config(federation__mode="fedssg")
