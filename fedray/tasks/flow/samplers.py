"""From noise to tiles: solvers of ``dx/dt = v(x, t)`` from 0 to 1, and guidance towards a label."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop

from fedray.learning import Condition
from fedray.tasks.flow.conditions import NONE
from fedray.tasks.flow.paths import Velocity

Network = Callable[[Tensor, Tensor, Condition], Tensor]
"""Points, times and conditions in, velocities out."""


class Sampler:
    """A solver whose steps are all of one length ``h``.

    A step of first order goes ``h v(x, t)``. One of second order asks a second time, a share ``c`` of the step ahead,
    and goes ``h ((1 - w) v(x, t) + w v(x + c h v(x, t), t + c h))`` with ``w = 1 / (2 c)``: Heun's method is ``c = 1``,
    the midpoint's ``c = 1 / 2``. At time 1 a network is asked where it hardly learned, so a step that would do that is
    of first order (Karras et al. 2022, algorithm 1).
    """

    def __init__(self, ahead: float | None) -> None:
        """Take ``c``, in (0, 1]; None is the first order."""
        self._ahead, self._weight = ahead, 0.0 if ahead is None else 1 / (2 * ahead)

    def calls(self, steps: int) -> int:
        """Count the calls of the network in so many steps."""
        return steps if self._ahead is None else 2 * steps - (self._ahead == 1)

    def __call__(self, velocity: Velocity, points: Tensor, steps: int) -> Tensor:
        """Carry points [N, ...] at time 0 to time 1 in so many steps."""
        for index in range(steps):
            moved = _at(velocity, points, _number(index / steps, points))
            if self._ahead is not None and index + self._ahead < steps:
                there = points + self._ahead / steps * moved
                second = _at(velocity, there, _number((index + self._ahead) / steps, points))
                moved = torch.lerp(moved, second, self._weight)
            points = points + moved / steps
        return points

    def as_graph(self, velocity: Velocity, points: Tensor, steps: int) -> Tensor:
        """Compute the same as a loop over calls, which ``torch.export`` keeps as one.

        The network is in the graph once: with all calls unrolled an export takes minutes, and a model's file is the
        graph for the most part.
        """
        num_calls, ahead = self.calls(steps), self._ahead or 0.0
        calls_a_step = 1 if self._ahead is None else 2

        def again(call: Tensor, points: Tensor, there: Tensor, first: Tensor) -> Tensor:
            return call < num_calls

        def onwards(call: Tensor, points: Tensor, there: Tensor, first: Tensor) -> tuple[Tensor, ...]:
            second = call % calls_a_step == 1
            time = (call // calls_a_step + ahead * second) / steps
            told = _at(velocity, there, time.to(points.dtype)).to(points.dtype)
            mean = torch.where(second, torch.lerp(first, told, self._weight), told)
            done = second | (call == num_calls - 1) | (calls_a_step == 1)
            arrived = points + mean / steps
            asked = torch.where(done, arrived, points + ahead / steps * told)
            after = torch.where(done, arrived, points)
            return call + 1, after.contiguous(), asked.contiguous(), told.contiguous()

        points = points.contiguous()
        start = (torch.zeros((), dtype=torch.int64, device=points.device), points, points.clone(), points.clone())
        _, points, _, _ = while_loop(again, onwards, start)  # type: ignore[no-untyped-call]
        return points


SAMPLERS = {"euler": Sampler(None), "heun": Sampler(1.0), "midpoint": Sampler(0.5)}
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


def _number(value: float, points: Tensor) -> Tensor:
    return torch.full((), value, dtype=points.dtype, device=points.device)


def _at(velocity: Velocity, points: Tensor, time: Tensor) -> Tensor:
    return velocity(points, time.expand(points.shape[0]))
