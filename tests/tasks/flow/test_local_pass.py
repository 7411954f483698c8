"""One local pass against the same written plainly, and the tiles that come of it."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from fedray.config import FlowConfig
from fedray.data import LabelledTiles
from fedray.learning import Condition, shuffled_batches, to_float, warm_decay
from fedray.randomness import derive_seed
from fedray.tasks.flow import Flow, FlowOptimizer, learning_rate, local_pass
from fedray.tasks.flow.conditions import NONE, withheld
from fedray.tasks.flow.paths import TIMES, spread
from fedray.testing import noise_tiles
from tests.support.flows import SHAPE, config, flow, shaken

NUM_ROUNDS = 3


def passed(one, optimizer=None, tiles=None, num_steps=3, steps_before=0, seed=5):
    optimizer = optimizer or FlowOptimizer(one)
    return local_pass(
        one, optimizer, tiles or noise_tiles(), num_steps=num_steps, steps_before=steps_before, num_rounds=NUM_ROUNDS,
        seed=seed,
    )  # fmt: skip


def plain_pass(one, tiles, num_steps, seed):
    """The same with PyTorch's own AdamW, without labels withheld, hooks or reports."""
    options, network, average = one.config, copy.deepcopy(one.network), copy.deepcopy(one.network_ema)
    optimizer = torch.optim.AdamW(network.parameters(), options.lr, (0.9, 0.99), weight_decay=0.0, fused=True)
    random = torch.Generator().manual_seed(derive_seed(seed, "step"))
    batches = shuffled_batches(tiles, options.batch_size, one.device, seed, augment=options.augment, channels_last=True)
    for step in range(num_steps):
        (group,) = optimizer.param_groups
        group["lr"] = learning_rate(options, (step + 0.5) / (num_steps * NUM_ROUNDS))
        batch, condition = next(batches)
        noise = torch.randn(batch.shape, generator=random)
        times = TIMES[options.times](spread(len(batch), random))
        points = torch.lerp(noise, batch, times.view(-1, 1, 1, 1))
        loss = functional.mse_loss(network(points, times, condition), batch - noise, reduction="none")
        optimizer.zero_grad()
        loss.flatten(1).mean(1).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
        optimizer.step()
        decay = warm_decay(options.ema_decay, step)
        with torch.no_grad():
            for value, new in zip(average.parameters(), network.parameters(), strict=True):
                value.lerp_(new, 1 - decay)
    return network, average


def plain_euler(network, noise, condition, steps):
    points = noise
    with torch.no_grad():
        for step in range(steps):
            points = points + network(points, torch.full((len(noise),), step / steps), condition) / steps
    return points


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_dropout_and_guidance_it_is_the_plain_model_digit_for_digit(precision):
    one = flow(label_dropout=0.0, optimizer="adamw", sampler="euler", steps=3, lr=1e-2, precision=precision)
    with one.autocast():
        network, average = plain_pass(one, noise_tiles(), 3, seed=5)
    passed(one)
    for found, expected in ((one.network, network), (one.network_ema, average)):
        for (name, value), other in zip(found.state_dict().items(), expected.state_dict().values(), strict=True):
            assert torch.equal(value, other), name
    labels = np.array([0, 1, 1])
    with one.autocast():
        noise = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
        made = plain_euler(average, noise, Condition(torch.from_numpy(labels), torch.zeros(3, dtype=torch.int64)), 3)
    pixels = made.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(one.sample(labels, torch.Generator().manual_seed(2)), pixels)


def test_labels_and_domains_are_withheld_as_often_as_is_said():
    random = torch.Generator().manual_seed(0)
    condition = Condition(torch.arange(20_000) % 3, torch.arange(20_000) % 2)
    known = withheld(condition, 0.1, 0.3, random)
    without = [part == NONE for part in known]
    assert [float(each.float().mean()) for each in without] == pytest.approx([0.1, 0.3], abs=0.01)
    assert float((without[0] & without[1]).float().mean()) == pytest.approx(0.03, abs=0.005)
    for part, given, gone in zip(known, condition, without, strict=True):
        assert torch.equal(part[~gone], given[~gone])
    assert all(torch.equal(*pair) for pair in zip(withheld(condition, 0.0, 0.0, random), condition, strict=True))


@pytest.mark.parametrize(("num_domains", "withheld_domains"), [(1, False), (2, True)])
def test_a_single_domain_is_never_withheld(num_domains, withheld_domains, monkeypatch):
    seen = []
    shape = SHAPE._replace(num_domains=num_domains)
    one = flow(shape, label_dropout=0.0, domain_dropout=0.9, batch_size=64)
    tiles = noise_tiles(40, shape)
    network = one.network.forward
    monkeypatch.setattr(one.network, "forward", lambda *given: seen.append(given[2]) or network(*given))
    passed(one, tiles=tiles, num_steps=1)
    assert bool((seen[0].domains == NONE).any()) is withheld_domains


def fixed_draws(tiles, times, random):
    """Noise and times that hang on the tile alone, so that it does not matter in whose batch it is."""
    keys = (tiles.flatten(1).double().abs() * 1e4).long().sum(1)
    noise = torch.stack([torch.randn(tiles.shape[1:], generator=torch.Generator().manual_seed(int(k))) for k in keys])
    return noise, keys % 97 / 97


@pytest.mark.parametrize("num_clients", [2, 4])
def test_one_full_step_of_equal_clients_is_the_centralised_step(num_clients, monkeypatch):
    """By FedAvg's mean of the weights: the loss is a mean over tiles, and so is its gradient."""
    monkeypatch.setattr(sys.modules["fedray.tasks.flow.local_pass"], "draw", fixed_draws)
    options = {"optimizer": "sgd", "lr": 0.5, "decay": "constant", "warmup_share": 0.0, "clip_norm": None}
    options |= {"label_dropout": 0.0, "augment": False, "batch_size": 64, "ema_decay": 0.0}
    whole = noise_tiles(24)
    results = []
    for chosen in [slice(None)] + [slice(k, None, num_clients) for k in range(num_clients)]:
        one = flow(**options)
        shaken(one.network)
        before = one.arrays(["network"])
        passed(one, tiles=LabelledTiles(*(part[chosen] for part in whole)), num_steps=1, seed=len(results))
        results.append(one.arrays(["network"]))
    centralised, *clients = results
    moved = max(np.abs(centralised[name] - before[name]).max() for name in before)
    apart = max(np.abs(clients[0][name] - centralised[name]).max() for name in before)
    assert moved > 1e-2 and apart > 1e-3, "steps that go nowhere, or all alike, show nothing"
    for name, value in centralised.items():
        mean = np.mean([client[name] for client in clients], 0)
        np.testing.assert_allclose(mean, value, atol=1e-5, err_msg=name)


def test_it_learns_what_its_tiles_look_like():
    """Dark tiles for one label and bright ones for the other, after some seconds."""
    random = np.random.default_rng(0)
    labels = np.arange(32) % 2
    tiles = (60 + 120 * labels[:, None, None, None] + random.integers(-20, 21, (32, 16, 16, 3))).astype(np.uint8)
    one = Flow(FlowConfig(channels=16, blocks=1, batch_size=8, steps=4, lr=5e-3, guidance=1.5), SHAPE, seed=0)
    report = local_pass(
        one, FlowOptimizer(one), LabelledTiles(tiles, labels, np.zeros(32, np.int64)),
        num_steps=60, steps_before=0, num_rounds=1, seed=0,
    )  # fmt: skip
    assert report.steps == {"network": 60}
    made = one.sample(np.array([0] * 8 + [1] * 8), torch.Generator().manual_seed(0)).mean((1, 2, 3))
    assert abs(made[:8].mean() - 60) < 25 and abs(made[8:].mean() - 180) < 25


def test_tiles_hang_on_labels_and_noise_and_not_on_batches():
    one = flow(SHAPE._replace(num_domains=2), guidance=2.0)
    shaken(one.network_ema)
    labels, domains = np.arange(6) % 2, np.arange(6) % 3 - 1
    sampled = [one.sample(labels, torch.Generator().manual_seed(0), domains, batch_size=size) for size in (1, 4, 6)]
    assert all(np.abs(each.astype(int) - sampled[0]).max() <= 1 for each in sampled)
    assert not np.array_equal(one.sample(labels, torch.Generator().manual_seed(1), domains), sampled[2])
    in_turn = one.sample(labels, torch.Generator().manual_seed(0))
    asked = one.sample(labels, torch.Generator().manual_seed(0), np.arange(6) % 2)
    assert np.array_equal(in_turn, asked)


def test_the_average_begins_at_the_network_and_follows_it():
    one = flow(ema_decay=0.999)
    start = one.arrays(["network_ema"])
    passed(one, num_steps=2)
    after, network = one.arrays(["network_ema"]), one.arrays(["network"])
    assert any(not np.array_equal(start[name], after[name]) for name in start)
    assert config(ema_decay=0.5).average_decay == 0.5
    one.update_average(10**6)
    for name, value in one.arrays(["network_ema"]).items():
        expected = 0.999 * after[name] + 0.001 * network[name.replace("network_ema", "network")]
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_tiles_are_what_networks_are_shown():
    """Of a network that says the way to a tile, the sampler ends at that tile."""
    target = noise_tiles(1)
    one = flow(steps=4)
    goal = to_float(torch.from_numpy(target.tiles))
    one.network_ema.forward = lambda points, times, condition: (goal - points) / (1 - times.view(-1, 1, 1, 1))
    assert np.array_equal(one.sample(np.zeros(1, np.int64), torch.Generator().manual_seed(0)), target.tiles)
