"""Differential privacy: what leaves a client, its clipping, and the noise."""

import math

import numpy as np
import pytest

from fedray.config import ConfigError
from fedray.data import tile_shape
from fedray.federation import (
    DivergedError,
    FederationError,
    client_app,
    sample_from_clients,
    shared_arrays,
)
from fedray.federation.messages import from_record
from fedray.federation.privacy import clip_update
from fedray.tasks.gan import fresh_gan, shared_parts
from fedray.testing import LocalGrid
from tests.support.federation import PRIVATE, assert_close, first_state, run
from tests.support.networks import BACKBONES


def distance(first, second):
    return math.sqrt(sum(float(np.square(first[key].astype(np.float64) - second[key]).sum()) for key in first))


def test_updates_are_clipped_to_the_norm(small_config):
    """With next to no noise the mean of two updates of length c is at most c long."""
    config = small_config(**PRIVATE, privacy__noise_multiplier=1e-9, privacy__clipping_norm=0.005)
    start = shared_arrays(first_state(config))
    free, _, _ = run(small_config(**PRIVATE))
    clipped, _, _ = run(config)
    assert distance(shared_arrays(free), start) > 0.01
    assert distance(shared_arrays(clipped), start) <= 0.005 * (1 + 1e-3)


def test_noise_has_the_configured_size(small_config):
    """On a mean of n clients: multiplier * norm / n in every weight (McMahan et al. 2018)."""
    config = small_config(**PRIVATE, privacy__noise_multiplier=4.0, privacy__clipping_norm=0.001)
    start = shared_arrays(first_state(config))
    after = shared_arrays(run(config)[0])
    changes = np.concatenate([(after[key] - start[key]).ravel() for key in start if "_ema" not in key])
    assert changes.std() == pytest.approx(4.0 * 0.001 / config.num_clients, rel=0.02)


class RecordingGrid(LocalGrid):
    """Keeps what travels: (message, reply) pairs."""

    def __init__(self, *args):
        super().__init__(*args)
        self.exchanged = []

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        replies = super().send_and_receive(messages, timeout=timeout)
        self.exchanged += zip(messages, replies, strict=True)
        return replies


def sent(record):
    return from_record(record.content.array_records["arrays"])


MESSAGES = [("acgan", name, "both") for name in BACKBONES]
MESSAGES += [("cgan-hinge", "cnn", "both"), ("wgan-gp", "cnn", "generator")]


@pytest.mark.parametrize(("objective", "backbone", "aggregate"), MESSAGES)
def test_what_leaves_a_client_is_an_update_of_trained_floats_within_the_norm(
    objective, backbone, aggregate, small_config
):
    """On the message itself: all its arrays together, BatchNorm of ResNets, spectral norms, heads and all."""
    norm = 0.01
    config = small_config(
        **PRIVATE, privacy__noise_multiplier=0.01, privacy__clipping_norm=norm,
        gan__objective=objective, gan__discriminator=backbone, gan__n_critic=1,
        federation__aggregate=aggregate, federation__local_steps=1,
        federation__num_clients=3 if backbone == "cnn" else 1,
    )  # fmt: skip
    grid = RecordingGrid(client_app, config.num_clients)
    start = shared_arrays(first_state(config))
    state, _, _ = run(config, grid=grid)
    trained = set(
        fresh_gan(config.gan, tile_shape(config.data), config.seed, "cpu", load_weights=False).trained(
            shared_parts(config.federation)
        )
    )
    assert len(grid.exchanged) == config.num_clients
    for message, reply in grid.exchanged:
        assert set(reply.content) == {"arrays", "metrics"}
        assert dict(reply.content.metric_records["metrics"]) == {"weight": 1.0}
        before, after = sent(message), sent(reply)
        assert set(after) == trained
        assert {value.dtype.kind for value in after.values()} == {"f"}
        length = distance(after, before)
        assert 0.99 * norm < length <= norm
    left = {name for name, value in shared_arrays(state).items() if np.array_equal(value, start[name])}
    assert left == {name for name in start if name not in trained and not name.startswith("generator_ema.")}


def test_batch_statistics_stay_what_they_were_and_training_goes_on(small_config):
    config = small_config(
        **PRIVATE, privacy__noise_multiplier=0.01, gan__objective="acgan", gan__discriminator="resnet18",
        federation__local_steps=1,
    )  # fmt: skip
    state, _, _ = run(config)
    arrays = shared_arrays(state)
    norms = [name for name in arrays if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(norms) == 60
    assert {float(arrays[name].max()) for name in norms} == {0.0, 1.0}


def test_the_moving_average_is_the_servers_own_over_what_was_released(small_config):
    config = small_config(**{**PRIVATE, "federation__num_rounds": 3}, privacy__noise_multiplier=1.0)
    state = first_state(config)
    average = {name: value for name, value in shared_arrays(state).items() if name.startswith("generator_ema.")}
    for rounds_before in range(3):
        run(config, state=state, rounds=rounds_before + 1)
        found, decay = shared_arrays(state), (1 + rounds_before) / (10 + rounds_before)
        average = {
            name: decay * value + (1 - decay) * found[name.replace("_ema", "")] for name, value in average.items()
        }
        assert_close({name: found[name] for name in average}, average)


@pytest.mark.parametrize("seed", range(20))
def test_clipping_holds_in_the_arrays_own_precision(seed):
    """Whatever is clipped: large weights and small norms, where float32 rounds; arrays of none, one, many numbers."""
    random = np.random.default_rng(seed)
    norm = float(10 ** random.uniform(-6, 2))
    before, after = {}, {}
    for number, shape in enumerate([(), (0,), (1,), (1000,), (30, 40), (3, 4, 5, 6)]):
        size, change = 10 ** random.uniform(-3, 4), 10 ** random.uniform(-6, 3)
        before[f"a{number}"] = (size * random.normal(size=shape)).astype(np.float32)
        after[f"a{number}"] = (before[f"a{number}"] + change * random.normal(size=shape)).astype(np.float32)
    clipped = clip_update(after, before, norm)
    assert distance(clipped, before) <= norm
    assert {value.dtype.name for value in clipped.values()} == {"float32"}
    longest = max(float(np.spacing(np.abs(value)).max(initial=0.0)) for value in before.values())
    assert distance(clipped, before) > 0.9 * min(norm, distance(after, before)) - 50 * longest
    unchanged = clip_update(before, before, norm)  # an update of no length has no direction to divide by
    assert all(np.array_equal(unchanged[name], value) for name, value in before.items())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_without_a_length_is_not_let_through(value):
    before = {"a": np.zeros(3, np.float32)}
    with pytest.raises(DivergedError, match="an update under differential privacy: a is not finite"):
        clip_update({"a": np.array([1.0, value, 0.0], np.float32)}, before, 1.0)


def test_no_other_message_is_answered(small_config):
    config = small_config(**PRIVATE, privacy__noise_multiplier=1.0)
    grid = LocalGrid(client_app, config.num_clients)
    with pytest.raises(FederationError, match=r"privacy covers no reply to a message of type 'query\.sample'"):
        sample_from_clients(grid, config, first_state(config), np.zeros(4, np.int64), np.zeros(4, np.int64))


def test_the_noise_follows_no_seed(small_config):
    """Whoever can repeat the noise can take it off again."""
    config, results = small_config(**PRIVATE, privacy__noise_multiplier=1.0), []
    for _ in range(2):
        np.random.seed(0)  # noqa: NPY002, the stream that a user's script seeds
        results.append(shared_arrays(run(config)[0]))
    assert all(not np.array_equal(results[0][name], value) for name, value in results[1].items())


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        (
            {"gan__generator": "custom-cnn"},
            "needs gan.generator 'residual', but got 'custom-cnn'.*BatchNorm",
        ),
        (
            {"federation__aggregate": "discriminator"},
            "needs federation.aggregate 'both' or 'generator'.*no noise",
        ),
        ({"federation__weighting": "size"}, "needs federation.weighting 'uniform'.*but got 'size'"),
        ({"federation__strategy": "fedadam"}, "needs federation.strategy 'fedavg' or 'fedprox'.*but got 'fedadam'"),
        ({"federation__max_failed_share": 0.5}, "needs federation.max_failed_share 0.*but got 0.5"),
        ({"federation__mode": "centralised"}, "needs federation.mode 'federated', but got 'centralised'"),
    ],
)
def test_what_the_account_does_not_hold_for_is_refused(fields, rule, small_config):
    with pytest.raises(ConfigError, match=rule):
        small_config(**{**PRIVATE, "privacy__noise_multiplier": 1.0, **fields})
