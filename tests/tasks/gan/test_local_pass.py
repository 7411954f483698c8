import shutil
from functools import partialmethod

import numpy as np
import pytest
import torch
from torch import nn

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Condition, Hook, Proximal, steps_per_round
from fedray.learning.passes import batch_bounds
from fedray.tasks.gan import Gan, Optimizers, local_pass
from tests.support.hooks import Seen
from tests.support.networks import client

SHAPE = TileShape(size=16, channels=3, num_labels=2)
CONFIG = GanConfig(latent_dim=8, generator_channels=8, discriminator_channels=8, batch_size=4, n_critic=3)


def train(config=CONFIG, *, steps=4, before=0, seed=0, gan=None, optimizers=None, hooks=()):
    gan = gan or Gan(config, SHAPE, 0)
    report = local_pass(
        gan, optimizers or Optimizers(gan), client(), num_steps=steps, steps_before=before, seed=seed, hooks=hooks
    )
    return gan, report


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.arrays().values(), second.arrays().values(), strict=True))


def test_the_same_seed_gives_the_same_arrays_and_leaves_the_global_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    config = CONFIG.model_copy(update={"dropout": 0.3})
    assert same(train(config)[0], train(config)[0])
    assert not same(train(config)[0], train(config, seed=1)[0])
    assert torch.equal(torch.rand(1), expected)


def test_the_generator_steps_after_every_n_critic_steps_counted_over_rounds():
    for before, steps, expected in [(0, 2, 0), (0, 3, 1), (2, 1, 1), (0, 9, 3), (4, 4, 1), (5, 1, 1)]:
        assert train(before=before, steps=steps)[1].steps["generator"] == expected


def test_without_a_generator_step_the_generator_stays_but_for_its_batch_statistics():
    before, (gan, report) = Gan(CONFIG, SHAPE, 0), train(steps=2)
    assert report.losses["generator/loss"] == 0.0
    for name, parameter in gan.generator.named_parameters():
        assert torch.equal(parameter, before.generator.get_parameter(name))


def test_wgan_step_equals_plain_pytorch():
    """One critic and one generator step against the same written out by hand."""
    config = CONFIG.model_copy(update={"n_critic": 1, "augment": False, "batch_size": 10, "gradient_penalty": 0.0})
    gan, _ = train(config, steps=1)
    plain = Gan(config, SHAPE, 0)
    plain.generator.train()
    from fedray.randomness import derive_seed  # the streams' addresses are the pass's own

    random = torch.Generator().manual_seed(derive_seed(0, "step"))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(derive_seed(0, "batches")))
    tiles, labels, _ = client()
    real = torch.from_numpy(tiles)[order].permute(0, 3, 1, 2).float() / 127.5 - 1
    wanted = Condition(torch.from_numpy(labels)[order], torch.zeros(10, dtype=torch.int64))
    critic = torch.optim.Adam(plain.discriminator.parameters(), 1e-4, (0.0, 0.9))
    artist = torch.optim.Adam(plain.generator.parameters(), 1e-4, (0.0, 0.9))

    def score(tiles):
        return plain.discriminator(tiles, wanted).scores.mean()

    fake = plain.generator(torch.randn(10, 8, generator=random), wanted).detach()
    (score(fake) - score(real)).backward()
    critic.step()
    torch.rand(10, 1, 1, 1, generator=random)  # the penalty's draw, whose weight is 0
    (-score(plain.generator(torch.randn(10, 8, generator=random), wanted))).backward()
    artist.step()
    for name in ("generator", "discriminator"):
        for key, value in getattr(plain, name).state_dict().items():
            assert torch.allclose(getattr(gan, name).state_dict()[key].float(), value.float(), atol=1e-5), key


def test_kept_optimizers_make_two_passes_continue_adam():
    gan = Gan(CONFIG, SHAPE, 0)
    optimizers = Optimizers(gan)
    train(gan=gan, optimizers=optimizers, steps=4)
    restored = Optimizers(gan)
    restored.load(optimizers.arrays())
    again = restored.arrays()
    assert again.keys() == optimizers.arrays().keys()
    assert all(np.array_equal(again[name], value) for name, value in optimizers.arrays().items())


def test_a_loss_that_is_not_finite_ends_the_pass():
    gan = Gan(CONFIG, SHAPE, 0)
    with torch.no_grad():
        gan.discriminator.get_parameter("score.weight").fill_(float("nan"))
    _, report = train(gan=gan, steps=50)
    assert report.steps["discriminator"] == 1
    assert np.isnan(report.losses["discriminator/loss"])


def test_a_client_with_fewer_tiles_than_a_batch_uses_all_it_has():
    gan = Gan(CONFIG, SHAPE, 0)
    report = local_pass(gan, Optimizers(gan), client(1), num_steps=3, steps_before=0, seed=0)
    assert report.num_examples == 1
    assert report.steps["discriminator"] == 3


@pytest.mark.parametrize(
    ("tiles", "epochs", "steps", "expected"),
    [(10, 1, None, 3), (8, 2, None, 4), (8, 2, 5, 5), (9, 2, None, 4), (9, 2, 5, 5), (5, 1, None, 1), (1, 3, None, 3)],
)
def test_steps_per_round(tiles, epochs, steps, expected):
    assert steps_per_round(tiles, 4, epochs, steps) == expected


@pytest.mark.parametrize("batch_size", [2, 3, 4, 16])
def test_an_epoch_has_every_tile_once_and_no_batch_of_one(batch_size):
    for num_tiles in range(2, 60):
        bounds = batch_bounds(num_tiles, batch_size)
        assert [position for start, end in bounds for position in range(start, end)] == list(range(num_tiles))
        assert {end - start for start, end in bounds[:-1]} <= {batch_size}
        assert 2 <= bounds[-1][1] - bounds[-1][0] <= batch_size + 1
        if num_tiles % batch_size != 1:  # as it always was
            assert [end - start for start, end in bounds] == [
                len(part) for part in torch.split(torch.arange(num_tiles), batch_size)
            ]


@pytest.mark.parametrize("num_tiles", [1, 5, 9])
@pytest.mark.parametrize("objective", ["acgan", "cgan"])
def test_batch_norm_networks_train_whatever_number_of_tiles_is_left_over(objective, num_tiles):
    """ResNets end in a map of one pixel: BatchNorm raises ValueError there for one tile."""
    gan = Gan(CONFIG.model_copy(update={"objective": objective, "discriminator": "resnet18", "n_critic": 1}), SHAPE, 0)
    steps = steps_per_round(num_tiles, 4, 2, None)
    report = local_pass(gan, Optimizers(gan), client(num_tiles), num_steps=steps, steps_before=0, seed=0)
    assert report.steps["discriminator"] == steps
    assert all(np.isfinite(value) for value in report.losses.values())


def test_the_proximal_term_equals_plain_pytorch():
    """FedProx: the loss plus (mu / 2) ||w - w_0||^2, written out as a loss."""
    config, mu = CONFIG.model_copy(update={"n_critic": 1, "gradient_penalty": 0.0}), 0.7
    gan = Gan(config, SHAPE, 0)
    start = {name: value.detach().clone() for name, value in gan.discriminator.named_parameters()}
    seen = []

    def compare(name, network):
        if name == "discriminator":
            term = sum((mu / 2) * (value - start[key]).square().sum() for key, value in network.named_parameters())
            expected = torch.autograd.grad(term, list(network.parameters()))
            seen.append(
                [
                    (value.grad - before, wanted)
                    for value, before, wanted in zip(network.parameters(), pulled.pop(), expected, strict=True)
                ]
            )

    pulled = []

    def note(name, network):
        if name == "discriminator":
            pulled.append([value.grad.clone() for value in network.parameters()])

    train(config, gan=gan, steps=3, hooks=[Seen(note), Proximal(gan.networks(), mu), Seen(compare)])
    assert len(seen) == 3
    for index, pairs in enumerate(seen):
        for pull, expected in pairs:
            torch.testing.assert_close(pull, expected, atol=1e-6, rtol=1e-4)
        assert any(expected.abs().max() > 0 for _, expected in pairs) == (index > 0)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_gradient_that_a_hook_sets_counts_however_it_lies_in_memory(optimizer):
    """Fused kernels walk through weights and gradients as they lie: a contiguous one would be taken for others'."""
    config = CONFIG.model_copy(update={"optimizer": optimizer, "channels_last": True, "fused_optimizer": True})
    moved = []

    def contiguous(name, network):
        for parameter in network.parameters():
            again = parameter.grad.clone(memory_format=torch.contiguous_format)
            moved.append(again.stride() != parameter.stride())
            parameter.grad = again

    assert same(train(config)[0], train(config, hooks=[Seen(contiguous)])[0])
    assert any(moved)


def test_gradients_longer_than_the_limit_are_scaled_to_it():
    lengths = []
    config = CONFIG.model_copy(update={"clip_norm": 1e-3, "n_critic": 1})

    def watch(optimizer, *_):
        gradients = [value.grad for group in optimizer.param_groups for value in group["params"]]
        lengths.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())

    gan = Gan(config, SHAPE, 0)
    optimizers = Optimizers(gan)
    optimizers.discriminator.register_step_pre_hook(watch)
    optimizers.generator.register_step_pre_hook(watch)
    train(config, gan=gan, optimizers=optimizers, steps=2)
    assert lengths == pytest.approx([1e-3] * 4, rel=1e-3)


def test_balanced_labels_reach_the_generator_alone(monkeypatch):
    config = CONFIG.model_copy(update={"label_sampling": "balanced", "n_critic": 1, "batch_size": 10})
    gan = Gan(config, SHAPE, 0)
    asked = []
    gan.generator.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[1].labels.float().mean().item()))
    skewed = client()._replace(labels=np.zeros(10, np.int64))
    local_pass(gan, Optimizers(gan), skewed, num_steps=40, steps_before=0, seed=0)
    assert set(asked[0::2]) == {0.0}  # the discriminator's steps
    assert 0.4 < np.mean(asked[1::2]) < 0.6


@pytest.mark.parametrize("option", ["channels_last", "fused_optimizer"])
def test_options_for_speed_change_nothing_but_rounding(option):
    plain, fast = (train(CONFIG.model_copy(update={option: on}), steps=3)[0].arrays() for on in (False, True))
    for name, value in plain.items():
        np.testing.assert_allclose(fast[name], value, atol=2e-4, err_msg=name)


def test_bfloat16_trains_to_nearly_the_same():
    plain, fast = (train(CONFIG.model_copy(update={"precision": name}))[1] for name in ("float32", "bfloat16"))
    for name, value in plain.losses.items():
        assert fast.losses[name] == pytest.approx(value, abs=0.05), name


def test_compiled_networks_compute_the_same(monkeypatch):
    """Traced and split into forward and backward; to make C++ of all of that would take over a minute."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    config = CONFIG.model_copy(update={"objective": "cgan-ns", "n_critic": 1})
    plain, compiled = (train(config.model_copy(update={"compile": on}), steps=2)[0] for on in (False, True))
    assert compiled.generator._compiled_call_impl is not None
    for name, value in plain.arrays().items():
        np.testing.assert_allclose(compiled.arrays()[name], value, atol=1e-4, err_msg=name)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_network_compiled_to_machine_code_computes_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    noise, condition = torch.randn(4, 8), Condition(torch.arange(4) % 2, torch.zeros(4, dtype=torch.int64))
    config = CONFIG.model_copy(update={"objective": "cgan-ns"})
    with torch.no_grad():
        plain, compiled = (
            Gan(config.model_copy(update={"compile": on}), SHAPE, 0).generator.eval()(noise, condition)
            for on in (False, True)
        )
    assert list(tmp_path.rglob("*.so"))
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-5)


class Weighed(Hook):
    """Adds (3 / 2) ||w||^2 of the discriminator, and notes what it is shown."""

    def __init__(self):
        self.shown = []

    def loss(self, name, network, tiles, condition):
        self.shown.append((name, tuple(tiles.shape), len(condition.labels)))
        return sum(1.5 * parameter.square().sum() for parameter in network.parameters())


def test_a_hooks_term_is_part_of_the_loss_of_the_network_that_reads_tiles():
    gradients, hook = [], Weighed()
    for hooks in ((), (hook,)):
        gan = Gan(CONFIG, SHAPE, 0)
        before = [parameter.detach().clone() for parameter in gan.discriminator.parameters()]
        seen = Seen(lambda name, network: gradients.append([p.grad.clone() for p in network.parameters()]))
        train(gan=gan, steps=1, hooks=[*hooks, seen])
    plain, weighed = gradients
    for one, other, parameter in zip(plain, weighed, before, strict=True):
        torch.testing.assert_close(other - one, 3 * parameter, atol=1e-5, rtol=1e-4)
    assert hook.shown == [("discriminator", (4, 3, 16, 16), 4)]
