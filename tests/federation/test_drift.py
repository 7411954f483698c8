"""Strategies against the drift of clients: each against its paper's formulas, written out."""

import numpy as np
import pytest

from fedray.config import ConfigError, ExperimentConfig, override
from fedray.data import TileShape
from fedray.federation import make_strategy, shared_arrays
from fedray.federation.messages import from_record
from fedray.federation.strategies import fedavg, fednova, scaffold
from fedray.federation.strategies.fedbn import batch_norms
from fedray.tasks.gan import PARTS, Gan
from tests.support.federation import assert_close, first_state, plain_pass, run
from tests.support.quadratics import RATE, PointLearner, gradient, make_clients, run_points

SGD = {"gan.optimizer": "sgd", "federation.aggregate": "discriminator"}


def settings(name, **changes):
    fields = {**SGD, "federation.strategy": name, **changes}
    return override(ExperimentConfig(), fields, "test")


def make_point():
    return PointLearner(np.zeros(3))


def sampled(num, share, rounds, random):
    return [sorted(random.choice(num, max(1, round(share * num)), replace=False)) for _ in range(rounds)]


def scaffold_by_hand(clients, rounds, eta_g=1.0):
    """Karimireddy et al. 2020, algorithm 1 with option II."""
    x = np.zeros(len(clients[0][1]))
    c, own, found = 0 * x, [0 * x for _ in clients], []
    for chosen in rounds:
        moved, changed = [], []
        for i in chosen:
            curvature, best, num_steps = clients[i]
            y = x.copy()
            for _ in range(num_steps):
                y -= RATE * (gradient(curvature, best, y) - own[i] + c)
            new = own[i] - c + (x - y) / (num_steps * RATE)
            moved.append(y - x)
            changed.append(new - own[i])
            own[i] = new
        x = x + eta_g * np.mean(moved, axis=0)
        c = c + len(chosen) / len(clients) * np.mean(changed, axis=0)
        found.append(x)
    return found


@pytest.mark.parametrize(("share", "eta_g"), [(0.1, 1.0), (1.0, 0.5)])
def test_scaffold_is_its_algorithm_with_clients_of_unequal_steps(share, eta_g):
    random = np.random.default_rng(0)
    clients = make_clients(20, 3, random)
    rounds = sampled(20, share, 30, random)
    config = settings("scaffold", **{
        "federation.weighting": "uniform", "federation.server_lr": eta_g, "federation.num_clients": 20,
    })  # fmt: skip
    found = run_points(config, scaffold.server(config, make_point), clients, rounds)
    np.testing.assert_allclose(found, scaffold_by_hand(clients, rounds, eta_g), atol=1e-9)


def test_scaffold_arrives_where_averaging_does_not():
    """With all clients in every round the optimum of the mean is a fixed point; FedAvg's is another point."""
    clients = make_clients(6, 3, np.random.default_rng(1))
    rounds = [range(6)] * 50
    best = np.linalg.solve(sum(a for a, _, _ in clients), sum(a @ b for a, b, _ in clients))
    config = settings("scaffold", **{"federation.weighting": "uniform", "federation.num_clients": 6})
    arrived = run_points(config, scaffold.server(config, make_point), clients, rounds)[-1]
    averaged = run_points(settings("fedavg"), fedavg.server(settings("fedavg"), make_point), clients, rounds)[-1]
    assert np.abs(arrived - best).max() < 1e-3 < 0.05 < np.abs(averaged - best).max()


def test_a_tenth_of_the_clients_is_enough_for_scaffold():
    """Public codes fall to chance there, where controls begin at the weights."""
    random = np.random.default_rng(2)
    clients = make_clients(20, 3, random)
    best = np.linalg.solve(sum(a for a, _, _ in clients), sum(a @ b for a, b, _ in clients))
    config = settings("scaffold", **{"federation.weighting": "uniform", "federation.num_clients": 20})
    found = run_points(config, scaffold.server(config, make_point), clients, sampled(20, 0.1, 200, random))
    assert np.abs(found[-1] - best).max() < 1e-3


def test_fednova_is_its_formula():
    random = np.random.default_rng(3)
    clients = make_clients(6, 3, random)
    rounds = sampled(6, 0.5, 10, random)
    config, x, expected = settings("fednova"), np.zeros(3), []
    for chosen in rounds:
        updates, steps = [], []
        for i in chosen:
            curvature, best, num_steps = clients[i]
            y = x.copy()
            for _ in range(num_steps):
                y -= RATE * gradient(curvature, best, y)
            updates.append((y - x) / num_steps)
            steps.append(num_steps)
        x = x + np.mean(steps) * np.mean(updates, axis=0)
        expected.append(x)
    found = run_points(config, fednova.server(config, make_point), clients, rounds)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_fednova_of_equal_steps_is_averaging():
    clients = [(curvature, best, 4) for curvature, best, _ in make_clients(4, 3, np.random.default_rng(4))]
    rounds = [range(4)] * 5
    config = settings("fednova")
    ours = run_points(config, fednova.server(config, make_point), clients, rounds)
    plain = run_points(settings("fedavg"), fedavg.server(settings("fedavg"), make_point), clients, rounds)
    np.testing.assert_allclose(ours, plain, atol=1e-9)


def test_fedbn_averages_all_but_the_layers_that_stay(small_config):
    """Three rounds by hand: every client goes on with its own BatchNorm layers, and the mean of all else."""
    config = small_config(federation__strategy="fedbn", federation__num_rounds=3, federation__keep_optimizer=False)
    own_names = batch_norms(Gan(config.gan, TileShape(16, 3, 2), 0), PARTS)
    assert {name.split(".")[0] for name in own_names} == {"generator", "generator_ema"}
    server, own = shared_arrays(first_state(config)), [{}, {}]
    for round_index in (1, 2, 3):
        passes = [plain_pass(config, i, {**server, **own[i]}, round_index) for i in range(2)]
        arrays, sizes = [gan.arrays() for gan, _, _ in passes], [size for _, size, _ in passes]
        # A pass reuses no GAN, so the arrays are each client's.
        means = {name: sum(a[name] * (n / sum(sizes)) for a, n in zip(arrays, sizes, strict=True)) for name in server}
        server = {name: server[name] if name in own_names else value for name, value in means.items()}
        own = [{name: a[name] for name in own_names} for a in arrays]
    state, _, grid = run(config)
    assert_close(shared_arrays(state), server, 1e-5)
    for context, expected in zip(grid.contexts.values(), own, strict=True):
        assert_close(from_record(context.state.array_records["own"]), expected, 1e-5)
    assert not np.array_equal(own[0][own_names[0]], own[1][own_names[0]])


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("scaffold", {}, "needs gan.optimizer 'sgd', but got 'adam'"),
        ("fednova", {}, "needs gan.optimizer 'sgd', but got 'adam'"),
        ("scaffold", {"gan__optimizer": "sgd"}, "needs federation.weighting 'uniform', but got 'size'"),
        ("scaffold", {"gan__optimizer": "sgd", "gan__clip_norm": 2.0}, "needs gan.clip_norm unset, but got 2"),
        ("fedbn", {"gan__generator": "residual"}, "no network that is averaged has one"),
    ],
)
def test_what_a_formula_does_not_hold_for_is_refused(name, changes, problem, small_config):
    with pytest.raises(ConfigError, match=problem):
        make_strategy(small_config(federation__strategy=name, **changes), TileShape(16, 3, 2))
