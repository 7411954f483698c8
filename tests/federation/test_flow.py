"""Velocity networks in a federation, in this process, against passes and means without Flower."""

import numpy as np
import pytest

from fedray.config import ConfigError
from fedray.data import TileShape, partitioned_store
from fedray.federation import shared_arrays
from fedray.learning import warm_decay
from fedray.learning.passes import batch_bounds
from fedray.randomness import derive_seed
from fedray.tasks.flow import Flow, FlowOptimizer, local_pass
from tests.support.federation import assert_close, first_state, run, run_interrupted, strategy_of
from tests.support.flows import experiment


def plain_pass(config, client, arrays, round_index=1, optimizer=None):
    """One client's round without Flower: what it has then, its tiles, its optimiser."""
    one = Flow(config.flow, TileShape(16, 3, 2), config.seed)
    one.load(arrays)
    kept = FlowOptimizer(one)
    if optimizer:
        kept.load(optimizer.arrays())
    tiles = partitioned_store(config).tiles(client)
    steps = len(batch_bounds(len(tiles.labels), config.flow.batch_size))
    local_pass(
        one,
        kept,
        tiles,
        num_steps=steps,
        steps_before=(round_index - 1) * steps,
        num_rounds=config.federation.num_rounds,
        seed=derive_seed(config.seed, "client", round_index, client),
    )
    return one.arrays(), len(tiles.labels), kept


def test_rounds_are_means_of_local_passes_weighted_by_tiles(small_store):
    """Of the moving averages too."""
    config = experiment(small_store, federation__num_clients=3)
    arrays, optimizers = shared_arrays(first_state(config)), [None] * 3
    state, reports, _ = run(config)
    for round_index, report in enumerate(reports, start=1):
        passes = [plain_pass(config, client, arrays, round_index, optimizers[client]) for client in range(3)]
        optimizers, total = [kept for _, _, kept in passes], sum(size for _, size, _ in passes)
        arrays = {name: sum(each[name] * (size / total) for each, size, _ in passes) for name in arrays}
        assert set(report.losses) == {"network/loss"} and report.counts["num-examples"] == total
    assert_close(shared_arrays(state), arrays, 1e-4)
    assert {name.partition(".")[0] for name in arrays} == {"network", "network_ema"}


def test_a_run_that_was_interrupted_ends_as_the_whole_one(small_store, tmp_path):
    config = experiment(small_store, federation__num_rounds=3)
    whole, _, _ = run(config)
    rest, reports, _ = run_interrupted(config, tmp_path, rounds=1)
    assert [report.round_index for report in reports] == [2, 3]
    for name, value in shared_arrays(whole).items():
        assert np.array_equal(value, shared_arrays(rest)[name]), name


SGD = {
    "flow__optimizer": "sgd",
    "flow__lr": 0.1,
    "flow__decay": "constant",
    "flow__warmup_share": 0.0,
    "flow__clip_norm": None,
    "federation__weighting": "uniform",
}


@pytest.mark.parametrize(
    ("strategy", "changes"),
    [
        ("fedprox", {}),
        ("fedadam", {}),
        ("fedmedian", {"federation__num_clients": 3}),
        ("scaffold", SGD),
        ("fednova", SGD),
    ],
)
def test_strategies_know_nothing_of_what_is_trained(small_store, strategy, changes):
    config = experiment(small_store, federation__strategy=strategy, **changes)
    before = shared_arrays(first_state(config))
    state, reports, _ = run(config)
    after = shared_arrays(state)
    assert len(reports) == 2 and after.keys() == before.keys()
    assert all(np.isfinite(value).all() for value in after.values())
    assert not np.array_equal(after["network.leave.weight"], before["network.leave.weight"])


@pytest.mark.parametrize(
    ("strategy", "changes", "lacking"),
    [
        ("scaffold", {}, "'scaffold' needs flow.optimizer 'sgd', but got 'muon'"),
        ("fednova", SGD | {"flow__decay": "cosine"}, "'fednova' needs flow.decay 'constant' and flow.warmup_share 0"),
        ("scaffold", SGD | {"flow__clip_norm": 1.0}, "'scaffold' needs flow.clip_norm unset, but got 1"),
        ("fedbn", {}, "no network that is averaged has one"),
        ("moon", {}, "no network that is averaged has one vector"),
    ],
)
def test_strategies_that_need_something_else_are_refused(small_store, strategy, changes, lacking):
    with pytest.raises(ConfigError, match=lacking):
        strategy_of(experiment(small_store, federation__strategy=strategy, **changes))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"federation__mode": "md-gan"}, "must be 'federated' or 'centralised' for task 'flow', but got 'md-gan'"),
        ({"federation__aggregate": "generator"}, "federation.aggregate is which network of a GAN is averaged"),
        ({"flow__guidance": 2.0, "flow__label_dropout": 0.0}, "flow.guidance 2 needs flow.label_dropout > 0"),
        ({"flow__patch": 3}, "flow.patch"),
    ],
)
def test_what_does_not_go_together_is_refused(small_store, changes, rule):
    with pytest.raises(ConfigError, match=rule):
        experiment(small_store, **changes)


def test_under_privacy_the_average_is_the_servers_own(small_store):
    """Clients send clipped networks alone; averages of released networks cost nothing."""
    config = experiment(
        small_store,
        federation__weighting="uniform",
        federation__num_rounds=1,
        privacy__noise_multiplier=1.0,
        privacy__clipping_norm=0.01,
    )
    before = shared_arrays(first_state(config))
    state, (report,), _ = run(config)
    after, decay = shared_arrays(state), warm_decay(config.flow.ema_decay, 0)
    assert report.epsilon > 0 and report.losses == {}
    changes = np.concatenate([(after[name] - before[name]).ravel() for name in before if name.startswith("network.")])
    assert changes.std() == pytest.approx(0.01 / config.num_clients, rel=0.05)
    for name in before:
        if name.startswith("network_ema."):
            expected = decay * before[name] + (1 - decay) * after[name.replace("network_ema", "network")]
            np.testing.assert_allclose(after[name], expected, atol=1e-6)
