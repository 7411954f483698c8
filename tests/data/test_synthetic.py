"""Synthetic tiles beside real ones: which are drawn, who gets them, and what does not go together."""

import numpy as np
import pytest

from fedray.data import StoreError, client_partition, partitioned_store, training_sizes, with_synthetic, write_store
from fedray.data.synthetic import draw_of_each, evenly, synthetic_partition
from tests.support import classifiers
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """60 tiles, 15 of them dark; its labels stand in another order than the real store's."""
    tiles = [
        tile._replace(label=int(index % 4 == 0), split="train") for index, tile in enumerate(random_tiles(60, seed=1))
    ]
    return write_store(tmp_path_factory.mktemp("stores") / "generated", iter(tiles), label_names=["bright", "dark"])


def both(small_store, generated, **changes):
    named = {"classification__tiles": "both", "classification__synthetic": str(generated.path), **changes}
    return classifiers.experiment(small_store, **named)


def real_of(config, client):
    return partitioned_store(config).tiles(client)


def test_a_client_has_its_own_tiles_and_its_deal_of_the_others(small_store, generated):
    config = both(small_store, generated)
    parts = synthetic_partition(config)
    assert sorted(np.concatenate(parts)) == list(range(60)), "every tile has one client"
    for client in range(2):
        real = real_of(config, client)
        found = with_synthetic(config, real, client)
        assert (found.tiles[: len(real.tiles)] == real.tiles).all() and (
            found.labels[: len(real.labels)] == real.labels
        ).all()
        rest = found.tiles[len(real.tiles) :]
        assert (rest == generated.tiles(parts[client])).all()
        names = [small_store.label_names[code] for code in found.labels[len(real.labels) :]]
        assert names == [generated.label_names[code] for code in generated.labels[parts[client]]], (
            "by name, not by code"
        )
        assert len(found.tiles) == training_sizes(config)[client]


def test_alone_they_replace_the_real_ones_and_by_default_there_are_none(small_store, generated):
    config = both(small_store, generated, classification__tiles="synthetic")
    found = with_synthetic(config, real_of(config, 0), 0)
    assert (found.tiles == generated.tiles(synthetic_partition(config)[0])).all()
    assert training_sizes(config).tolist() == [30, 30]
    plain = classifiers.experiment(small_store)
    real = real_of(plain, 1)
    assert with_synthetic(plain, real, 1) is real
    assert (training_sizes(plain) == client_partition(plain).sizes()).all()


@pytest.mark.parametrize(("per_real", "num"), [(0.1, 2), (0.5, 10), (1.0, 20), (3.0, 60), (None, 60)])
def test_there_are_as_many_for_each_real_tile_as_asked(small_store, generated, per_real, num):
    config = both(small_store, generated, classification__synthetic_per_real=per_real)
    assert sum(map(len, synthetic_partition(config))) == num
    assert training_sizes(config).sum() == 20 + num


@pytest.mark.parametrize("num", [0, 1, 7, 40, 99, 100])
def test_a_draw_keeps_the_labels_shares_and_is_part_of_a_larger_one(num):
    labels = np.array([0] * 70 + [1] * 25 + [2] * 5)
    drawn, larger = (draw_of_each(labels, size, np.random.default_rng(3)) for size in (num, min(100, num + 20)))
    assert len(drawn) == num and len(np.unique(drawn)) == num
    np.testing.assert_allclose(np.bincount(labels[drawn], minlength=3), num * np.array([0.7, 0.25, 0.05]), atol=1)
    assert set(drawn) <= set(larger)


@pytest.mark.parametrize("clients", [1, 3, 7])
def test_a_deal_differs_by_one_tile_at_the_most(clients):
    labels = np.random.default_rng(0).integers(0, 3, 100)
    parts = evenly(labels, np.zeros(100, int), clients, np.random.default_rng(1))
    assert sorted(np.concatenate(parts)) == list(range(100))
    counts = np.array([np.bincount(labels[part], minlength=3) for part in parts])
    assert (np.ptp(counts, axis=0) <= 1).all() and np.ptp(counts.sum(1)) <= 1


def test_another_seed_draws_and_deals_others(small_store, generated):
    first, again, other = (
        synthetic_partition(both(small_store, generated, classification__synthetic_per_real=1.0, seed=seed))
        for seed in (0, 0, 1)
    )
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert set(np.concatenate(first)) != set(np.concatenate(other))


def test_what_does_not_go_with_the_real_tiles_is_one_error_with_all_differences(small_store, tmp_path):
    tiles = [tile._replace(split="test") for tile in random_tiles(8, size=24)]
    names = {"label_names": ["dark", "grey"], "domain_names": ["elsewhere"]}
    wrong = write_store(tmp_path / "wrong", iter(tiles), **names)
    with pytest.raises(StoreError) as error:
        training_sizes(both(small_store, wrong))
    told = str(error.value)
    for part in (
        "24 px, not 16",
        "'dark', 'grey', not 'dark', 'bright'",
        "'elsewhere'",
        "split 'train'",
        "generate_tiles",
    ):
        assert part in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classification__synthetic_per_real": 4.0}, r"4, .* 20 real .* 80 synthetic ones are needed, .* has 60"),
        (
            {
                "classification__tiles": "synthetic",
                "classification__synthetic_per_real": 0.05,
                "federation__num_clients": 4,
            },
            r"1 synthetic tiles cannot be dealt to 4 clients",
        ),
        ({"classification__synthetic": "nowhere"}, r"classification.synthetic must be .* no 'nowhere'"),
    ],
)
def test_too_few_tiles_and_no_store_are_refused_with_the_numbers(small_store, generated, changes, told):
    with pytest.raises(StoreError, match=told):
        training_sizes(both(small_store, generated, **changes))
