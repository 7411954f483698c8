"""The learning rate over all rounds, and what decays."""

import math

import pytest
import torch

from fedray.tasks.flow import FlowOptimizer, learning_rate
from tests.support.flows import config, flow


@pytest.mark.parametrize(
    ("decay", "at_half", "at_end"),
    [("cosine", (1 + math.cos(math.pi * 0.375)) / 2, 0.0), ("linear", 0.625, 0.0), ("constant", 1.0, 1.0)],
)
def test_it_rises_and_falls_over_all_rounds_together(decay, at_half, at_end):
    options = config(lr=0.01, decay=decay, warmup_share=0.2)
    shares = {0.0: 0.0, 0.1: 0.5, 0.2: 1.0, 0.5: at_half, 1.0: at_end}
    found = {done: learning_rate(options, done) for done in shares}
    assert found == pytest.approx({done: 0.01 * share for done, share in shares.items()})


def test_without_warm_up_it_begins_at_its_largest():
    assert learning_rate(config(lr=0.5, warmup_share=0.0), 0.0) == 0.5


def test_matrices_decay_alone():
    one = flow(weight_decay=0.1, lr=1.0)
    optimizer = FlowOptimizer(one)
    before = {name: value.detach().clone() for name, value in one.network.named_parameters()}
    for value in one.network.parameters():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    for name, value in one.network.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] * (0.9 if value.dim() > 1 else 1.0))
