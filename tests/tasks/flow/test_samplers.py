"""Samplers against exact solutions, and guidance against its formula."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.integrate import solve_ivp

from fedray.learning import Condition
from fedray.tasks.flow import samplers
from fedray.tasks.flow.samplers import SAMPLERS, guided
from tests.support.flows import ONE, TWO, Gaussians, flow, shaken

EXACT = Gaussians([[2.0, 0.0], [-1.0, 1.0]], [0.5, 0.6], [0.7, 0.3], torch.float64)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2)])
def test_errors_fall_with_the_order_of_the_method(name, order):
    """Where paths of a mixture end is SciPy's solution."""
    noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def flat(time, points):
        times = torch.full((16,), time, dtype=torch.float64)
        return EXACT.velocity(torch.from_numpy(points).view(16, 2), times).flatten().numpy()

    exact = torch.from_numpy(solve_ivp(flat, (0, 1), noise.flatten(), rtol=1e-10, atol=1e-10).y[:, -1]).view(16, 2)
    errors = [(SAMPLERS[name](EXACT.velocity, noise, steps) - exact).abs().max().item() for steps in (40, 80, 160)]
    assert [math.log2(first / second) for first, second in pairwise(errors)] == pytest.approx([order] * 2, abs=0.2)


def test_of_one_gaussian_paths_end_at_its_mean_and_deviation_times_the_noise():
    noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        SAMPLERS["midpoint"](ONE.velocity, noise, 200), ONE.means + ONE.deviations * noise, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_moments_of_what_was_learned(name):
    """Mean, covariance and shares of a mixture, in closed form."""
    noise = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    made = SAMPLERS[name](TWO.velocity, noise, 100 if name == "euler" else 30)
    mean = TWO.shares @ TWO.means
    spread = torch.einsum("k,ki,kj->ij", TWO.shares, TWO.means, TWO.means) - torch.outer(mean, mean)
    covariance = spread + (TWO.shares @ TWO.deviations**2) * torch.eye(2)
    torch.testing.assert_close(made.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(made.T.cov(), covariance, atol=0.08, rtol=0)
    # The components are four and five deviations apart: hardly a sample is nearer to the wrong one.
    nearest = torch.cdist(made, TWO.means).argmin(1).bincount() / len(made)
    torch.testing.assert_close(nearest, TWO.shares, atol=0.03, rtol=0)


@pytest.mark.parametrize(("name", "calls"), [("euler", 5), ("heun", 9), ("midpoint", 10)])
def test_as_many_calls_as_are_said(name, calls):
    asked = []

    def velocity(points, times):
        asked.append(times)
        return torch.zeros_like(points)

    SAMPLERS[name](velocity, torch.zeros(3, 2), 5)
    assert len(asked) == calls == SAMPLERS[name].calls(5) and all(
        times.shape == (3,) and 0 <= times[0] < 1 for times in asked
    )


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 4])
def test_as_a_graph_it_is_the_same(name, steps, monkeypatch):
    """The loop over calls, run step by step here; that it can be exported is tested with the task."""

    def while_loop(again, onwards, state):
        while again(*state):
            state = onwards(*state)
        return state

    monkeypatch.setattr(samplers, "while_loop", while_loop)
    noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    expected = SAMPLERS[name](TWO.velocity, noise, steps)
    torch.testing.assert_close(SAMPLERS[name].as_graph(TWO.velocity, noise, steps), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 2.5])
def test_guidance_is_its_formula_in_one_call(guidance):
    """v_0 + w (v - v_0), and of the network's own answer, digit for digit, where w is 1."""
    one = flow(label_dropout=0.5)
    network, calls = shaken(one.network), []

    def counted(points, times, condition):
        calls.append(len(points))
        return network(points, times, condition)

    random = torch.Generator().manual_seed(0)
    points, times = torch.randn(3, 3, 16, 16, generator=random), torch.rand(3, generator=random)
    condition = Condition(torch.tensor([0, 1, 1]), torch.zeros(3, dtype=torch.int64))
    with torch.no_grad():
        found = guided(counted, condition, guidance)(points, times)
        towards = network(points, times, condition)
        without = network(points, times, condition._replace(labels=torch.full((3,), -1)))
    assert not torch.allclose(towards, without)
    torch.testing.assert_close(found, without + guidance * (towards - without), atol=1e-5, rtol=1e-5)
    assert calls == [3 if guidance == 1 else 6]
    if guidance == 1:
        assert torch.equal(found, towards)
