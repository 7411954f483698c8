"""Every aggregation rule in a federation of GANs; those with a state against their formulas."""

import logging
from importlib import import_module
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Metadata, MetricRecord, RecordDict
from flwr.app.message.message import make_message

from fedray.config import STRATEGIES, ConfigError, FederationConfig
from fedray.data import tile_shape
from fedray.federation import TooFewRepliesError, shared_arrays, strategies
from fedray.federation.messages import from_record
from fedray.federation.strategies import algorithm_of, make_strategy
from fedray.federation.weighting import client_weight
from fedray.tasks.gan import OBJECTIVES, PARTS, Gan
from fedray.testing import StrategySuite, small_experiment
from fedray.testing.small import SHAPE
from tests.support.federation import assert_close, first_state, plain_pass, run, run_interrupted, strategy_of
from tests.support.networks import PAIRS

NEEDED = {
    "scaffold": {"gan.optimizer": "sgd", "federation.weighting": "uniform"},
    "fednova": {"gan.optimizer": "sgd"},
    "fediic": {"task": "classification"},
    "trimmed-mean": {"federation.num_clients": 5},
    "krum": {"federation.num_clients": 5},
    "fedmedian": {"federation.num_clients": 5},
}
"""What goes with a strategy alone."""
CASES = [
    (algorithm_of(name), small_experiment({"federation.strategy": name, **NEEDED.get(name, {})})) for name in STRATEGIES
]
SERVER_OPTIMISERS = ["fedavgm", "fedadam", "fedyogi", "fedadagrad"]


def clients_after(config, arrays, round_index=1, states=None):
    """Arrays and weights of all clients after a round on their own."""
    passes = [plain_pass(config, number, arrays, round_index) for number in range(config.num_clients)]
    return [gan.arrays() for gan, _, _ in passes], [size for _, size, _ in passes]


def learner_of(config):
    return Gan(config.gan, tile_shape(config.data), config.seed)


def mean(arrays, weights):
    return {name: sum(a[name] * (w / sum(weights)) for a, w in zip(arrays, weights, strict=True)) for name in arrays[0]}


@pytest.mark.parametrize(("algorithm", "config"), CASES, ids=STRATEGIES, scope="class")
class TestStrategies(StrategySuite):
    pass


def test_every_module_with_two_halves_has_its_line():
    folder = Path(strategies.__file__).parent
    modules = {import_module(f"{strategies.__name__}.{path.stem}") for path in folder.glob("*.py")}
    able = {module.__name__.rpartition(".")[2] for module in modules if hasattr(module, "server")}
    assert able == {name.replace("-", "_") for name in STRATEGIES}


@pytest.mark.parametrize(("algorithm", "config"), CASES, ids=STRATEGIES)
def test_making_one_says_nothing(algorithm, config, monkeypatch):
    """A job makes dozens before its first round: one for each value that a sweep searches."""
    told = []
    flowers = logging.getLogger("flwr")
    before = flowers.level
    flowers.setLevel(logging.DEBUG)
    monkeypatch.setattr(flowers, "handle", told.append)
    try:
        make_strategy(config, SHAPE)
        assert told == [] and flowers.level == logging.DEBUG
    finally:
        flowers.setLevel(before)


@pytest.mark.parametrize("name", SERVER_OPTIMISERS)
def test_server_optimisers_step_parameters_by_their_formula_and_average_the_rest(name, small_config):
    """Two rounds of Hsu et al. 2019 (momentum) and of Reddi et al. 2021, algorithm 2, written out."""
    config = small_config(
        federation__strategy=name,
        federation__num_clients=3,
        federation__keep_optimizer=False,
        federation__server_lr=0.02,
    )
    rate, beta1, beta2, tau = 0.02, 0.9, 0.99, 1e-3
    parameters = set(learner_of(config).trained(PARTS))
    arrays = shared_arrays(first_state(config))
    assert parameters and parameters < set(arrays)
    assert not any("running" in key or key.startswith("generator_ema.") for key in parameters)
    momentum = {key: 0.0 for key in parameters}
    variance = {key: 0.0 for key in parameters}
    for round_index in (1, 2):
        means = mean(*clients_after(config, arrays, round_index))
        expected = dict(means)
        for key in parameters:
            update = means[key].astype(np.float64) - arrays[key]
            if name == "fedavgm":
                momentum[key] = 0.9 * momentum[key] + update
                expected[key] = arrays[key] + rate * momentum[key]
                continue
            first = 0.0 if name == "fedadagrad" else beta1
            momentum[key] = first * momentum[key] + (1 - first) * update
            if name == "fedadagrad":
                variance[key] = variance[key] + update**2
            elif name == "fedadam":
                variance[key] = beta2 * variance[key] + (1 - beta2) * update**2
            else:
                variance[key] = variance[key] - (1 - beta2) * update**2 * np.sign(variance[key] - update**2)
            # Flower corrects Adam's bias (Kingma and Ba 2015), counted from round 1 as step 2; not the others'.
            correction = np.sqrt(1 - beta2 ** (round_index + 1)) / (1 - beta1 ** (round_index + 1))
            step = rate * (correction if name == "fedadam" else 1.0)
            expected[key] = arrays[key] + step * momentum[key] / (np.sqrt(variance[key]) + tau)
        state, _, _ = run(config, rounds=round_index)
        found = shared_arrays(state)
        for key, value in found.items():
            wanted = np.rint(expected[key]) if value.dtype.kind in "iu" else expected[key]
            np.testing.assert_allclose(value, wanted, atol=2e-5, rtol=2e-5, err_msg=key)
        arrays = found


@pytest.mark.parametrize(
    ("name", "needed"), [("fedadam", {}), ("scaffold", {"gan__optimizer": "sgd", "federation__weighting": "uniform"})]
)
def test_a_resumed_run_continues_what_both_halves_keep(name, needed, small_config, tmp_path):
    """The whole way, through a checkpoint; each strategy's own state is the suite's."""
    config = small_config(
        federation__strategy=name, federation__num_rounds=3, federation__server_lr=0.02, **needed
    )  # fmt: skip
    whole, _, _ = run(config)
    resumed, _, _ = run_interrupted(config, tmp_path, rounds=2)
    assert_close(shared_arrays(whole), shared_arrays(resumed))


def test_fedprox_stays_nearer_to_where_the_round_began(small_config):
    start = shared_arrays(first_state(small_config()))

    def moved(**fields):
        state, _, _ = run(small_config(federation__num_rounds=1, federation__local_epochs=6, **fields))
        return sum(
            np.square(value - start[key]).sum() for key, value in shared_arrays(state).items() if "weight" in key
        )

    free, none = moved(), moved(federation__strategy="fedprox", federation__proximal_mu=0.0)
    held = moved(federation__strategy="fedprox", federation__proximal_mu=100.0)
    assert none == pytest.approx(free, rel=1e-6)
    assert held < 0.7 * free


def test_clients_weigh_by_size_alike_or_by_the_balance_of_their_labels(small_config):
    balanced, skewed = np.array([0, 1] * 5), np.array([0] * 10)

    def weight(name, labels):
        return client_weight(FederationConfig(weighting=name), labels)

    assert (weight("size", balanced), weight("size", skewed[:4])) == (10.0, 4.0)
    assert (weight("uniform", balanced), weight("uniform", skewed[:4])) == (1.0, 1.0)
    assert weight("label-balance", balanced) == pytest.approx(20.0)
    assert weight("label-balance", skewed) == pytest.approx(10.0)
    assert weight("label-balance", np.array([0, 0, 0, 1])) == pytest.approx(4 * (0.75**-0.75) * (0.25**-0.25))

    config = small_config(federation__num_clients=3, federation__num_rounds=1, federation__weighting="uniform")
    arrays, _ = clients_after(config, shared_arrays(first_state(config)))
    assert_close(shared_arrays(run(config)[0]), mean(arrays, [1, 1, 1]))


SHARED = {"both": PARTS, "generator": PARTS[:2], "discriminator": PARTS[2:]}
# What travels hangs on the parts alone: each objective once, and one of them for each deeper backbone.
ROUNDS = [(objective, "cnn", aggregate) for objective, aggregate in zip(OBJECTIVES, cycle(SHARED), strict=False)]
DEEPER = {backbone: objective for objective, backbone in PAIRS if backbone != "cnn"}
ROUNDS += [(DEEPER[backbone], backbone, aggregate) for backbone in DEEPER for aggregate in ("both", "generator")]


@pytest.mark.parametrize(("objective", "backbone", "aggregate"), ROUNDS)
def test_exactly_the_aggregated_part_is_shared(objective, backbone, aggregate, small_config):
    """A round of two clients, against plain passes; of a single step where networks are deep."""
    parts = SHARED[aggregate]
    config = small_config(
        gan__objective=objective, gan__discriminator=backbone, gan__n_critic=1,
        federation__aggregate=aggregate, federation__num_rounds=1,
        federation__local_steps=None if backbone == "cnn" else 1,
    )  # fmt: skip
    start = shared_arrays(first_state(config))
    state, _, grid = run(config)
    after = shared_arrays(state)
    assert {key.split(".")[0] for key in after} == set(parts)
    assert all(any(not np.array_equal(start[k], after[k]) for k in after if k.startswith(f"{part}.")) for part in parts)
    privates = [
        from_record(context.state.array_records["private-parts"]) if aggregate != "both" else {}
        for context in grid.contexts.values()
    ]
    assert all({key.split(".")[0] for key in private} == set(PARTS) - set(parts) for private in privates)
    arrays, sizes = clients_after(config, start)
    for private, own in zip(privates, arrays, strict=True):
        assert_close(private, {key: own[key] for key in private}, 1e-5)
    expected = mean(arrays, sizes)
    for key, value in after.items():
        wanted = np.rint(expected[key]) if value.dtype.kind in "iu" else expected[key]
        np.testing.assert_allclose(value, wanted, atol=1e-5, rtol=1e-5, err_msg=key)


def replies_of(values):
    """Replies of clients that send whatever they like: one of our own would say that it diverged."""
    metrics = {"weight": 1.0, "num-examples": 1.0, "discriminator-steps": 1.0, "generator-steps": 1.0}
    replies = []
    for node, value in enumerate(values, start=1):
        arrays = ArrayRecord({"w": Array(np.array([value, 1.0], np.float32))})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({**metrics, "generator/loss": 1.0})})
        replies.append(make_message(Metadata(1, f"m{node}", node, 1, "asked", "", 0.0, 10.0, "train"), content))
    return replies


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "finite", "expected"),
    [
        ("fedmedian", [1.0, 2.0, 6.0], 2.0),
        ("trimmed-mean", [0.0, 2.0, 2.5, 3.0, 90.0], 2.5),
        ("krum", [1.0, 1.1, 1.2, 40.0, 1.3], 1.1),
    ],
)
def test_a_robust_strategy_leaves_out_a_reply_that_is_not_finite(name, finite, expected, bad, small_config):
    malicious = 1 if name == "krum" else 0
    config = small_config(federation__strategy=name, federation__num_clients=6, federation__num_malicious=malicious)
    replies = replies_of([finite[0], bad, *finite[1:]])
    arrays, metrics = strategy_of(config).aggregate_train(1, replies)
    assert arrays["w"].numpy()[0] == pytest.approx(expected, abs=0.11)
    assert metrics["num-examples"] == (1 if name == "krum" else len(finite))  # Krum takes one
    with pytest.raises(TooFewRepliesError, match=r"round 1: 4 of 6 replies are not finite .* 2 are too few"):
        strategy_of(config).aggregate_train(1, replies_of([1.0, 2.0, bad, bad, bad, bad]))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strategy": "trimmed-mean", "num_clients": 4, "trimmed_share": 0.2},
         "federation.trimmed_share of 0.2 leaves nobody out where 4 clients are sure to answer in a round, so "
         "'trimmed-mean' would be the plain mean; set it to 0.25 or more, or take 'fedavg'"),
        ({"strategy": "trimmed-mean", "num_clients": 20, "client_fraction": 0.2}, "where 4 clients are sure"),
        ({"strategy": "trimmed-mean", "num_clients": 5, "max_failed_share": 0.2}, "where 4 clients are sure"),
        ({"strategy": "trimmed-mean", "num_clients": 9, "trimmed_share": 0.0}, "leaves nobody out"),
        ({"strategy": "trimmed-mean", "num_clients": 2, "trimmed_share": 0.49}, "take 3 or more"),
        ({"strategy": "krum", "num_clients": 4, "num_malicious": 3}, "here 9, but 4 clients are sure"),
        ({"strategy": "krum", "num_clients": 2}, "here 3, but 2 clients are sure"),
        ({"strategy": "krum", "num_clients": 6, "num_malicious": 1, "max_failed_share": 0.4}, "here 5, but 4 clients"),
        ({"strategy": "fedmedian", "num_clients": 2}, "needs at least 3 clients a round"),
        ({"strategy": "fedmedian", "num_clients": 100, "client_fraction": 0.02}, "but 2 clients are sure"),
    ],
)  # fmt: skip
def test_a_robust_strategy_that_protects_from_nobody_is_refused(small_config, changes, expected):
    with pytest.raises(ConfigError) as refused:
        small_config(**{f"federation__{name}": value for name, value in changes.items()})
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "trimmed-mean", "num_clients": 5},
        {"strategy": "trimmed-mean", "num_clients": 3, "trimmed_share": 0.334},
        {"strategy": "krum", "num_clients": 5, "num_malicious": 1},
        {"strategy": "fedmedian", "num_clients": 3},
    ],
)
def test_a_robust_strategy_just_within_its_limits_is_not(small_config, changes):
    small_config(**{f"federation__{name}": value for name, value in changes.items()})
