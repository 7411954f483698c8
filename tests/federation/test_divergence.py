"""A training that diverged: seen in the weights at every border, named, and kept out of means, folders and models."""

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from fedray.experiment.tracked import log_model
from fedray.federation import (
    DivergedError,
    FederationError,
    FederationState,
    client_app,
    load_checkpoint,
    save_checkpoint,
    shared_arrays,
)
from fedray.federation.divergence import DIVERGED
from fedray.federation.messages import from_record, to_record
from fedray.learning import check_finite
from fedray.randomness import derive_seed, torch_stream
from fedray.tasks.gan import Gan
from fedray.tasks.gan import task as gan_task
from fedray.testing import LocalGrid
from tests.support.federation import assert_close, failing_app, first_state, plain_pass, run
from tests.support.networks import SHAPE
from tests.support.networks import config as gan_config

# The network's first step is the pass's last: its loss is that of the weights before it, and finite.
LAST_STEP = {
    "discriminator": {"gan__discriminator_lr": 1e39, "gan__n_critic": 2},
    "generator": {"gan__generator_lr": 1e39, "gan__discriminator_lr": 1e-4, "gan__n_critic": 1},
}
MD_GAN = {"federation__mode": "md-gan"}


@pytest.mark.parametrize("network", ["discriminator", "generator"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"federation__aggregate": "generator"},
        {"federation__aggregate": "discriminator"},
        {"federation__mode": "centralised"},
        MD_GAN,
        {"federation__merge_replies": True},
        {"federation__keep_optimizer": False},
    ],
    ids=lambda fields: " ".join(str(value) for value in fields.values()) or "both",
)
def test_a_last_step_that_explodes_is_seen_and_nothing_of_it_is_kept(network, fields, small_config):
    config = small_config(federation__local_steps=1, **LAST_STEP[network], **fields)
    state, grid = first_state(config), LocalGrid(client_app, config.num_clients)
    before = shared_arrays(state)
    # In MD-GAN a client's discriminator judges once more after its last step, and the loss tells.
    told = r"\w+/loss is nan" if fields == MD_GAN and network == "discriminator" else rf"{network}\..* not finite"
    with pytest.raises(DivergedError, match=rf"^round 1, .*{told}; smaller learning rates may help"):
        run(config, grid=grid, state=state)
    assert state.round_index == 0
    assert_close(shared_arrays(state), before, 0.0)
    for context in grid.contexts.values():
        for record in context.state.array_records.values():
            check_finite(from_record(record))


def test_moments_that_overflow_are_seen(small_config):
    """Adam's second moment is infinite, so that the weight would never move again; weights and losses are finite."""
    config = small_config(federation__local_steps=1, gan__gradient_penalty=1e30)
    with pytest.raises(DivergedError, match=r"round 1, client 0, moments of Adam: discriminator\.\d+\.exp_avg_sq"):
        run(config)


def test_a_server_whose_step_explodes_stays_where_it_was(small_config):
    config = small_config(federation__strategy="fedadam", federation__server_lr=1e42)
    state = first_state(config)
    before = shared_arrays(state)
    with pytest.raises(DivergedError, match=r"round 1, server: \S+ and \d+ more of \d+ arrays are not finite"):
        run(config, state=state)
    assert (state.round_index, state.optimizer) == (0, {})
    assert_close(shared_arrays(state), before, 0.0)


@pytest.fixture
def poison(monkeypatch):
    """Let a client's pass end with one weight that is not finite."""

    def of(config, client_id, round_index=1):
        address, plain = derive_seed(config.seed, "client", round_index, client_id), gan_task.local_pass

        def poisoned(gan, *args, seed, **kwargs):
            report = plain(gan, *args, seed=seed, **kwargs)
            if seed == address:
                gan.discriminator.get_parameter("score.bias").data.fill_(float("nan"))
            return report

        monkeypatch.setattr(gan_task, "local_pass", poisoned)

    return of


def test_a_client_that_diverged_is_left_out_up_to_the_allowed_share(small_config, poison, caplog):
    config = small_config(
        federation__num_clients=3, federation__max_failed_share=0.4, federation__num_rounds=1,
        federation__weighting="uniform",
    )  # fmt: skip
    start = shared_arrays(first_state(config))
    expected = [plain_pass(config, client_id, start)[0].arrays() for client_id in (0, 2)]
    poison(config, 1)
    state, (report,), grid = run(config)
    assert (report.num_clients, report.num_failed) == (2, 1)
    assert_close(shared_arrays(state), {name: (expected[0][name] + expected[1][name]) / 2 for name in start})
    assert (
        "round 1 goes on without 1 client(s): round 1, client 1: discriminator.score.bias is not finite" in caplog.text
    )
    assert "optimizer" not in grid.contexts[101].state


def test_beyond_the_allowed_share_it_is_a_divergence_and_other_failures_are_not(small_config, poison):
    config = small_config(federation__num_clients=3)
    with pytest.raises(FederationError, match="OSError"):
        run(config, grid=LocalGrid(failing_app(1), 3))
    poison(config, 2)
    with pytest.raises(DivergedError, match=r"^round 1, client 2: discriminator\.score\.bias is not finite; smaller"):
        run(config)


def test_a_client_answers_a_divergence_with_its_own_code(small_config, poison):
    config = small_config()
    poison(config, 0)
    replies = []

    class Listening(LocalGrid):
        def pull_messages(self, message_ids):
            replies.extend(found := super().pull_messages(message_ids))
            return found

    with pytest.raises(DivergedError):
        run(config, grid=Listening(client_app, 2))
    failed = [reply for reply in replies if isinstance(reply, Message) and reply.has_error()]
    assert [reply.error.code for reply in failed] == [DIVERGED]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["server", "optimizer", "clients"])
def test_no_checkpoint_is_written_and_an_old_one_is_not_continued(tmp_path, place, value, monkeypatch):
    good, bad = (np.array([[1.0, end]], np.float32) for end in (2.0, value))

    def save(array, where):
        parts = {"server": good, "optimizer": good, "clients": good} | {where: array}
        state = FederationState(to_record({"generator.w": parts["server"]}), 3, {"m:generator.w": parts["optimizer"]})
        client = RecordDict({"optimizer": to_record({"0.step": np.array(7), "0.exp_avg": parts["clients"]})})
        save_checkpoint(tmp_path / "c", state, {5: client})

    save(good, place)
    with pytest.raises(DivergedError, match=rf"checkpoint of round 3, {place}: \S+ is not finite"):
        save(bad, place)
    assert load_checkpoint(tmp_path / "c")[0].round_index == 3
    monkeypatch.setattr("fedray.federation.checkpoint.check_finite", lambda *_: None)  # as it was written before
    save(bad, place)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"holds the weights of a training that diverged \(.*start again"):
        load_checkpoint(tmp_path / "c")


def test_no_generator_is_logged_and_no_tile_drawn(small_config, small_store):
    config = small_config()
    arrays = {"generator_ema.body.0.weight": np.array([1.0, np.nan], np.float32)}
    with pytest.raises(DivergedError, match=r"the arrays to be logged: generator_ema\.body\.0\.weight is not finite"):
        log_model(None, config, arrays, small_store, 1, {}, {})
    gan = Gan(gan_config(), SHAPE, seed=0)
    gan.generator_ema.get_parameter("project.bias").data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="the generator's tiles are not finite"):
        gan.sample(np.zeros(4, np.int64), torch_stream(0, "sample"))


def test_integers_and_emptiness_are_finite():
    check_finite({"counter": np.array(3), "none": np.zeros((0, 2), np.float32), "yes": np.array(True)})
