"""What is learned on straight paths, against closed forms."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, logistic, norm
from torch import nn

from fedray.tasks.flow.paths import TIMES, draw, losses_of, point_at, spread
from tests.support.flows import ONE, TWO


def test_paths_are_straight_from_noise_to_tile():
    random = torch.Generator().manual_seed(0)
    tiles, noise = (torch.randn(3, 2, 4, 4, generator=random) for _ in range(2))
    times = torch.tensor([0.0, 0.25, 1.0])
    for index, time in enumerate(times.tolist()):
        expected = (1 - time) * noise[index] + time * tiles[index]
        torch.testing.assert_close(point_at(tiles, noise, times)[index], expected)


def test_the_loss_is_the_mean_squared_error_of_each_tiles_velocity():
    random = torch.Generator().manual_seed(0)
    tiles, noise = (torch.randn(4, 3, 5, 5, generator=random) for _ in range(2))
    asked = []

    def velocity(points, times):
        asked.append((points, times))
        return points * times.view(-1, 1, 1, 1)

    times = torch.rand(4, generator=random)
    losses = losses_of(velocity, tiles, noise, times)
    for index in range(4):
        error = asked[0][0][index] * times[index] - (tiles[index] - noise[index])
        assert losses[index].item() == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert len(asked) == 1 and losses.shape == (4,)


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("uniform", "uniform"), ("logit-normal", lambda times: norm.cdf(logistic.ppf(times)))],
)
def test_times_have_their_distribution_and_are_evenly_apart(name, distribution):
    random = torch.Generator().manual_seed(0)
    uniform = torch.stack([spread(8, random) for _ in range(500)])
    gaps = uniform.sort(1).values.diff(dim=1)
    torch.testing.assert_close(gaps, torch.full_like(gaps, 1 / 8), atol=1e-5, rtol=0)
    assert uniform.min() >= 0 and uniform.max() < 1
    # Each place of a batch by itself: there the draws are independent.
    assert min(kstest(TIMES[name](uniform[:, place]).numpy(), distribution).pvalue for place in range(8)) > 1e-3
    noise, times = draw(torch.zeros(8, 3), name, random)
    assert noise.shape == (8, 3) and times.shape == (8,)


@pytest.mark.parametrize("name", TIMES)
def test_no_time_is_outside_the_path(name):
    edges = TIMES[name](torch.tensor([0.0, 1 - 2**-24]))
    assert torch.isfinite(edges).all() and edges.min() >= 0 and edges.max() <= 1


@pytest.mark.parametrize(("name", "known"), [("logit-normal", ONE), ("uniform", TWO)], ids=["gaussian", "mixture"])
def test_what_is_learned_is_the_closed_form(name, known):
    """A perceptron, trained by the same draws and losses, says E[x - n | x_t], wherever paths pass often."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    optimizer, random = torch.optim.Adam(network.parameters(), 2e-2), torch.Generator().manual_seed(1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=500)

    def velocity(points, times):
        return network(torch.cat([points, times[:, None]], 1))

    for _ in range(500):
        tiles = known.draw(1024, random)
        loss = losses_of(velocity, tiles, *draw(tiles, name, random)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    tiles = known.draw(4000, random)
    noise, times = draw(tiles, name, random)
    points = point_at(tiles, noise, times)
    with torch.no_grad():
        error = (velocity(points, times) - known.velocity(points, times)).square().mean()
        around = known.velocity(points, times).square().mean()
    assert (error / around).sqrt() < 0.1
    # The error of the closed form is what no network can go below.
    assert (
        losses_of(known.velocity, tiles, noise, times).mean() < losses_of(velocity, tiles, noise, times).mean() * 1.02
    )


def test_the_closed_form_of_one_gaussian_is_linear():
    """As in the issue's own formula: v = m + (t s^2 - (1 - t)) / ((1 - t)^2 + t^2 s^2) (x_t - t m)."""
    points = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    mean, deviation = np.array([1.5, -0.5]), 0.8
    for time in (0.0, 0.3, 1.0):
        slope = (time * deviation**2 - (1 - time)) / ((1 - time) ** 2 + (time * deviation) ** 2)
        expected = mean + slope * (points.numpy() - time * mean)
        np.testing.assert_allclose(ONE.velocity(points, torch.full((5,), time)), expected, atol=1e-6)
