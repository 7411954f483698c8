from dataclasses import replace

import numpy as np
import pytest

from fedray.data import TileShape, client_partition, partitioned_store
from fedray.federation import DivergedError, FederationError, sample_from_clients, shared_arrays
from fedray.tasks.gan import Gan, Optimizers, local_pass
from fedray.testing import LocalGrid
from tests.support.federation import assert_close, failing_app, first_state, plain_pass, run, run_interrupted


def plain_pass_with_steps(config, steps):
    gan = Gan(config.gan, TileShape(16, 3, 2), config.seed)
    local_pass(gan, Optimizers(gan), partitioned_store(config).tiles(0), num_steps=steps, steps_before=0, seed=0)
    return gan.arrays()


def test_a_round_is_the_mean_of_the_clients_weighted_by_their_tiles(small_config):
    config = small_config(federation__num_clients=3, federation__num_rounds=1)
    start = shared_arrays(first_state(config))
    state, (report,), _ = run(config)
    clients = [plain_pass(config, client_id, start) for client_id in range(3)]
    total = sum(size for _, size, _ in clients)
    expected = {name: sum(gan.arrays()[name] * (size / total) for gan, size, _ in clients) for name in start}
    assert_close(shared_arrays(state), expected)
    assert report.counts["num-examples"] == total
    assert (report.num_clients, report.num_failed) == (3, 0)


def test_centralised_training_is_the_plain_loop_with_one_optimizer(small_config):
    config = small_config(federation__mode="centralised", federation__num_rounds=3)
    state, _, _ = run(config)
    gan = Gan(config.gan, TileShape(16, 3, 2), config.seed)
    optimizers = Optimizers(gan)
    for round_index in (1, 2, 3):
        plain_pass(config, 0, gan.arrays(), round_index, optimizers, gan)
    assert_close(shared_arrays(state), gan.arrays())
    assert len(client_partition(config).clients) == 1


@pytest.mark.parametrize(
    ("aggregate", "shared"),
    [
        ("both", {"generator", "generator_ema", "discriminator"}),
        ("generator", {"generator", "generator_ema"}),
        ("discriminator", {"discriminator"}),
    ],
)
def test_a_round_changes_exactly_the_aggregated_part(small_config, aggregate, shared):
    config = small_config(federation__aggregate=aggregate)
    before = shared_arrays(first_state(config))
    state, _, grid = run(config)
    after = shared_arrays(state)
    assert {name.split(".")[0] for name in after} == shared
    assert {name for name in after if not np.array_equal(before[name], after[name])} >= {
        name for name in after if name.endswith("weight") and not name.startswith("generator_ema")
    }
    for context in grid.contexts.values():
        private = context.state.array_records.get("private-parts", {})
        kept = {"generator", "generator_ema", "discriminator"} - shared
        assert {name.split(".")[0] for name in private} == kept


def test_private_parts_differ_between_clients_and_are_continued(small_config):
    config = small_config(federation__aggregate="generator")
    _, _, grid = run(config, rounds=1)
    name = "discriminator.score.weight"
    first = [context.state["private-parts"][name].numpy() for context in grid.contexts.values()]
    assert not np.array_equal(*first)
    start = shared_arrays(first_state(config))
    expected = plain_pass(config, 0, start)[0].arrays()[name]
    assert np.allclose(first[0], expected, atol=1e-6)


@pytest.mark.parametrize("aggregate", ["both", "generator", "discriminator"])
def test_a_resumed_run_equals_an_uninterrupted_one(small_config, tmp_path, aggregate):
    config = small_config(federation__num_rounds=4, federation__aggregate=aggregate)
    whole, reports, _ = run(config)
    resumed, later, _ = run_interrupted(config, tmp_path, rounds=2)
    assert_close(shared_arrays(whole), shared_arrays(resumed))
    assert [report.losses for report in later] == [report.losses for report in reports[2:]]


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(small_config):
    first, second = (shared_arrays(run(small_config())[0]) for _ in range(2))
    other = shared_arrays(run(small_config(seed=1))[0])
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["generator.project.weight"], other["generator.project.weight"])


def test_dtypes_stay_as_they_were(small_config):
    config = small_config()
    before = shared_arrays(first_state(config))
    after = shared_arrays(run(config)[0])
    assert {name: value.dtype for name, value in before.items()} == {name: value.dtype for name, value in after.items()}


def test_equal_integer_buffers_stay_what_they_are(small_config):
    """Ten weights of 0.1 add up to less than 1: a mean that is cut off would lose a step of every counter."""
    config = small_config(federation__num_clients=10, federation__num_rounds=1, federation__local_steps=2)
    after = shared_arrays(run(config)[0])
    counters = {name: value for name, value in after.items() if name.endswith("num_batches_tracked")}
    expected = plain_pass_with_steps(config, 2)
    assert counters == {name: expected[name] for name in counters}


def test_a_fraction_of_the_clients_takes_part_and_all_do_in_time(small_config):
    config = small_config(federation__num_clients=5, federation__client_fraction=0.4, federation__num_rounds=12)
    _, reports, grid = run(config)
    assert {report.num_clients for report in reports} == {2}
    assert all("optimizer" in context.state for context in grid.contexts.values())


def test_losses_are_means_over_steps(small_config):
    _, (report,), _ = run(small_config(federation__num_rounds=1))
    assert report.counts["discriminator-steps"] == 4
    assert report.counts["generator-steps"] == 2
    assert set(report.losses) == {
        "discriminator/loss", "discriminator/wasserstein", "discriminator/gradient-penalty", "generator/loss",
    }  # fmt: skip


def test_a_failed_client_fails_the_run_with_its_reason(small_config):
    config = small_config(federation__num_clients=3)
    with pytest.raises(
        FederationError, match=r"1 of 3 clients failed[\s\S]*OSError: the disk of this hospital is full"
    ):
        run(config, grid=LocalGrid(failing_app(1), 3))


def test_failures_up_to_the_allowed_share_are_reported_and_left_out(small_config):
    config = small_config(federation__num_clients=3, federation__max_failed_share=0.4, federation__num_rounds=1)
    _, (report,), _ = run(config, grid=LocalGrid(failing_app(1), 3))
    assert (report.num_clients, report.num_failed) == (2, 1)


def test_divergence_is_an_error_that_names_the_loss(small_config):
    config = small_config(gan__discriminator_lr=1e18)
    with pytest.raises(DivergedError, match=r"round \d, client \d: \w+/\S+ is .*smaller learning rates"):
        run(config)


def test_clients_generate_where_generators_are_private(small_config):
    config = small_config(federation__aggregate="discriminator", federation__num_clients=3)
    state, _, grid = run(config)
    labels, domains = np.array([0, 1, 1, 0, 1, 0, 0]), np.zeros(7, np.int64)
    tiles = sample_from_clients(grid, config, state, labels, domains)
    assert tiles.shape == (7, 16, 16, 3)
    again = sample_from_clients(grid, config, state, labels, domains)
    assert np.array_equal(tiles, again)
    later = replace(state, round_index=state.round_index + 1)
    assert not np.array_equal(tiles, sample_from_clients(grid, config, later, labels, domains))
