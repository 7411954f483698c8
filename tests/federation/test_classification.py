"""Classifiers in a federation, in this process, against passes and means without Flower."""

import numpy as np
import pytest

from fedray.config import ConfigError
from fedray.data import TileShape, partitioned_store, training_sizes, with_synthetic, write_store
from fedray.federation import shared_arrays
from fedray.federation.budget import step_budget
from fedray.federation.messages import from_record
from fedray.learning.passes import batch_bounds
from fedray.randomness import derive_seed
from fedray.tasks.classification import Classifier, ClassifierOptimizer, local_pass, split_validation
from tests.support.classifiers import experiment
from tests.support.federation import assert_close, first_state, run, run_interrupted, strategy_of
from tests.support.small import random_tiles

BATCH_NORM = {"classification__network": "test_efficientnet"}


def plain_pass(config, client, arrays, round_index=1, optimizer=None):
    """One client's round without Flower: what it has then, its tiles, its optimiser."""
    one = Classifier(config.classification, TileShape(16, 3, 2), config.seed)
    one.load(arrays)
    kept = optimizer or ClassifierOptimizer(one)
    if optimizer:
        moments, kept = optimizer.arrays(), ClassifierOptimizer(one)
        kept.load(moments)
    tiles, _ = split_validation(partitioned_store(config).tiles(client), config.classification, config.seed, client)
    steps = len(batch_bounds(len(tiles.labels), config.classification.batch_size))
    local_pass(
        one,
        kept,
        tiles,
        num_steps=steps,
        steps_before=(round_index - 1) * steps,
        num_rounds=config.federation.num_rounds,
        seed=derive_seed(config.seed, "client", round_index, client),
    )
    return one.arrays(), len(tiles.labels), kept, steps


@pytest.mark.parametrize("changes", [{}, BATCH_NORM, {"classification__patience": 2}])
def test_rounds_are_means_of_local_passes_weighted_by_tiles(small_store, changes):
    config = experiment(small_store, federation__num_clients=3, **changes)
    arrays, optimizers = shared_arrays(first_state(config)), [None] * 3
    state, reports, _ = run(config)
    for round_index, report in enumerate(reports, start=1):
        passes = [plain_pass(config, client, arrays, round_index, optimizers[client]) for client in range(3)]
        optimizers = [kept for _, _, kept, _ in passes]
        total = sum(size for _, size, _, _ in passes)
        means = {name: sum(each[name] * (size / total) for each, size, _, _ in passes) for name in arrays}
        whole = {
            name: np.rint(value).astype(np.int64) for name, value in means.items() if arrays[name].dtype.kind == "i"
        }
        assert bool(whole) == ("classification__network" in changes)
        arrays = {**{name: value.astype(np.float32) for name, value in means.items()}, **whole}
        assert report.counts == {"num-examples": total, "classifier-steps": sum(steps for *_, steps in passes)}
        assert set(report.losses) == {"classifier/loss"}
    after = shared_arrays(state)
    assert_close(after, arrays, 1e-4)
    assert {name: value.dtype for name, value in after.items()} == {name: value.dtype for name, value in arrays.items()}


def test_a_run_that_was_interrupted_ends_as_the_whole_one(small_store, tmp_path):
    config = experiment(small_store, federation__num_rounds=3, **BATCH_NORM)
    whole, _, _ = run(config)
    rest, reports, _ = run_interrupted(config, tmp_path, rounds=1)
    assert [report.round_index for report in reports] == [2, 3]
    assert_close(shared_arrays(rest), shared_arrays(whole), 1e-6)


@pytest.mark.parametrize("strategy", ["fedprox", "fedadam", "fedbn", "fediic", "moon"])
def test_strategies_know_nothing_of_what_is_trained(small_store, strategy):
    config = experiment(small_store, federation__strategy=strategy, classification__projection=8, **BATCH_NORM)
    before = shared_arrays(first_state(config))
    state, reports, grid = run(config)
    after = shared_arrays(state)
    assert len(reports) == 2 and set(after) == set(before)
    assert not np.array_equal(after["classifier.head.1.weight"], before["classifier.head.1.weight"])
    assert all((value >= 0).all() for name, value in after.items() if name.endswith("running_var"))
    kept = [set(context.state) & {"strategy", "own"} for context in grid.contexts.values()]
    assert all(each == {"fedbn": {"own"}, "moon": {"strategy"}}.get(strategy, set()) for each in kept)


SGD = {
    "classification__optimizer": "sgd",
    "classification__lr": 0.05,
    "classification__final_lr_share": 1.0,
    "federation__weighting": "uniform",
}


@pytest.mark.parametrize("strategy", ["scaffold", "fednova"])
@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({}, "classification.optimizer 'sgd', but got 'adamw'"),
        (SGD | {"classification__final_lr_share": 0.01}, "classification.final_lr_share 1, .* but got 0.01"),
    ],
)
def test_strategies_that_count_on_plain_steps_are_refused_others(small_store, strategy, changes, lacking):
    config = experiment(small_store, federation__strategy=strategy, **changes)
    with pytest.raises(ConfigError, match=f"'{strategy}' needs {lacking}"):
        strategy_of(config)


def test_scaffolds_first_controls_are_the_mean_gradients(small_store):
    config = experiment(
        small_store, federation__strategy="scaffold", federation__num_clients=2, federation__num_rounds=1, **SGD
    )
    before = shared_arrays(first_state(config))
    state, _, grid = run(config)
    passes = [plain_pass(config, client, before) for client in range(2)]
    assert_close(shared_arrays(state), {name: np.mean([own[name] for own, *_ in passes], 0) for name in before}, 1e-5)
    kept = sorted(grid.contexts.values(), key=lambda context: int(context.node_config["partition-id"]))
    for context, (own, _, _, steps) in zip(kept, passes, strict=True):
        for name, control in context.state.array_records["strategy"].items():
            gradient = (before[name] - own[name]) / (steps * 0.05)
            np.testing.assert_allclose(control.numpy(), gradient, atol=2e-4, err_msg=name)


def test_fednova_goes_the_mean_number_of_steps_along_the_mean_step(small_store):
    config = experiment(
        small_store,
        federation__strategy="fednova",
        federation__num_rounds=1,
        federation__num_clients=6,
        classification__batch_size=2,
        **SGD,
    )
    before = shared_arrays(first_state(config))
    state, _, _ = run(config)
    passes = [plain_pass(config, client, before) for client in range(config.num_clients)]
    steps = [each for *_, each in passes]
    assert len(set(steps)) > 1, "clients that take as many steps each show nothing"
    expected = {
        name: before[name] + np.mean(steps) * np.mean([(own[name] - before[name]) / tau for own, *_, tau in passes], 0)
        for name in before
    }
    assert_close(shared_arrays(state), expected, 1e-5)


def test_validation_tiles_are_neither_trained_on_nor_counted(small_store):
    config = experiment(small_store, classification__patience=1, classification__validation_share=0.5)
    _, (first, *_), _ = run(config)
    # Of any k tiles of a label round(k / 2) validate, and the others are trained on.
    labels = [partitioned_store(config).tiles(client).labels for client in range(2)]
    trained = [sum(k - round(k / 2) for k in np.bincount(each).tolist()) for each in labels]
    assert first.counts["num-examples"] == sum(trained) < 20
    assert first.counts["classifier-steps"] == sum(len(batch_bounds(num, 4)) for num in trained)


def test_synthetic_tiles_are_trained_on_weigh_as_others_do_and_never_validate(small_store, tmp_path):
    tiles = [tile._replace(split="train") for tile in random_tiles(30, seed=1)]
    made = write_store(tmp_path / "made", iter(tiles), label_names=["dark", "bright"])
    changes = {"classification__tiles": "both", "classification__synthetic": str(made.path)}
    config = experiment(small_store, classification__patience=2, **changes)
    _, reports, _ = run(config)
    held = sum(
        len(
            split_validation(partitioned_store(config).tiles(client), config.classification, config.seed, client)[
                1
            ].labels
        )
        for client in range(2)
    )
    assert held > 0 and reports[0].counts["num-examples"] == 20 + 30 - held
    budget = step_budget(config)
    assert budget.tiles.tolist() == training_sizes(config).tolist() and budget.tiles.sum() == 50

    # as one client after the other, without Flower
    arrays = shared_arrays(first_state(config))
    source, means = partitioned_store(config), []
    for client in range(2):
        one, whole = Classifier(config.classification, TileShape(16, 3, 2), config.seed), source.tiles(client)
        own = with_synthetic(config, split_validation(whole, config.classification, config.seed, client)[0], client)
        local_pass(
            one,
            ClassifierOptimizer(one),
            own,
            num_steps=len(batch_bounds(len(own.labels), 4)),
            steps_before=0,
            num_rounds=2,
            seed=derive_seed(0, "client", 1, client),
        )
        means.append((len(own.labels), one.arrays()))
    after = shared_arrays(run(config, rounds=1)[0])
    total = sum(size for size, _ in means)
    assert_close(after, {name: sum(each[name] * (size / total) for size, each in means) for name in arrays}, 1e-4)


def test_local_only_is_every_client_on_its_own(small_store):
    config = experiment(small_store, federation__strategy="local-only")
    start = shared_arrays(first_state(config))
    state, reports, grid = run(config)
    assert_close(shared_arrays(state), start, 0)
    assert reports[-1].num_clients == 2 and reports[-1].losses["classifier/loss"] > 0
    for client, context in enumerate(grid.contexts.values()):
        arrays, optimizer = start, None
        for round_index in (1, 2):
            arrays, _, optimizer, _ = plain_pass(config, client, arrays, round_index, optimizer)
        assert_close(from_record(context.state.array_records["own"]), arrays, 1e-6)
