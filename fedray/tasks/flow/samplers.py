"""From noise to tiles: solvers of ``dx/dt = v(x, t)`` from 0 to 1, and guidance towards a label."""

from collections.abc import Callable

import torch
from torch import Tensor

from fedray.learning import Condition
from fedray.tasks.flow.conditions import NONE
from fedray.tasks.flow.paths import Velocity

Sampler = Callable[[Velocity, Tensor, int], Tensor]
"""Carries points [N, ...] at time 0 to time 1 in a number of steps of one length."""
Network = Callable[[Tensor, Tensor, Condition], Tensor]
"""Points, times and conditions in, velocities out."""


def euler(velocity: Velocity, points: Tensor, steps: int) -> Tensor:
    """Take the velocity at the start of each step: one call a step, first order."""
    for step in range(steps):
        points = points + velocity(points, _times(points, step / steps)) / steps
    return points


def heun(velocity: Velocity, points: Tensor, steps: int) -> Tensor:
    """Take the mean of the velocities at both ends of each step: two calls, second order.

    The last step is Euler's: at time 1 a network is asked where it hardly learned (Karras et al. 2022, algorithm 1).
    """
    for step in range(steps):
        at_start = velocity(points, _times(points, step / steps))
        ahead = points + at_start / steps
        if step + 1 < steps:
            at_end = velocity(ahead, _times(points, (step + 1) / steps))
            ahead = points + (at_start + at_end) / (2 * steps)
        points = ahead
    return points


def midpoint(velocity: Velocity, points: Tensor, steps: int) -> Tensor:
    """Take the velocity in the middle of each step: two calls, second order, never at time 1."""
    for step in range(steps):
        half = points + velocity(points, _times(points, step / steps)) / (2 * steps)
        points = points + velocity(half, _times(points, (step + 0.5) / steps)) / steps
    return points


SAMPLERS: dict[str, Sampler] = {"euler": euler, "heun": heun, "midpoint": midpoint}
"""By ``flow.sampler``."""


def guided(network: Network, condition: Condition, guidance: float) -> Velocity:
    """Return a network's velocity towards the labels of a condition.

    With ``w`` and the label withheld in ``v_0`` it is ``v_0 + w (v - v_0)`` (Ho and Salimans 2022, arXiv 2207.12598),
    of one batch with both; the domain stays. With a guidance of 1 it is the network's own.
    """
    if guidance == 1:
        return lambda points, times: network(points, times, condition)
    both = Condition(
        torch.cat([condition.labels, torch.full_like(condition.labels, NONE)]), torch.cat([condition.domains] * 2)
    )

    def velocity(points: Tensor, times: Tensor) -> Tensor:
        towards, without = network(torch.cat([points] * 2), torch.cat([times] * 2), both).chunk(2)
        return torch.lerp(without, towards, guidance)

    return velocity


def _times(points: Tensor, time: float) -> Tensor:
    return torch.full((len(points),), time, device=points.device)
