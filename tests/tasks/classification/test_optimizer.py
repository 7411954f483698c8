"""The learning rate against PyTorch's schedule, and AdamW against PyTorch's."""

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from fedray.tasks.classification import ClassifierOptimizer, learning_rate
from tests.support.classifiers import classifier, config


@pytest.mark.parametrize(("every", "factor"), [(None, 2), (3, 1), (2, 2), (1, 3)])
def test_the_rate_is_that_of_pytorchs_schedule(every, factor):
    settings = config(lr=0.3, final_lr_share=0.1, restart_every=every, restart_factor=factor)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = CosineAnnealingWarmRestarts(optimizer, every or 10, factor, eta_min=0.03)
    optimizer.step()
    for rounds in np.arange(0, 10, 0.25):
        schedule.step(float(rounds))
        assert learning_rate(settings, float(rounds), 10) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)


def test_a_share_of_one_keeps_the_rate():
    assert {learning_rate(config(lr=0.3, final_lr_share=1.0), rounds, 4) for rounds in (0, 1.5, 3.9)} == {0.3}


def test_steps_are_adamws_and_norms_and_biases_do_not_decay():
    ours, theirs = classifier(), classifier()
    own = ClassifierOptimizer(ours)
    own.set_lr(0.01)
    named = dict(theirs.network.named_parameters())
    kernels = [value for name, value in named.items() if value.dim() > 1]
    others = [value for name, value in named.items() if value.dim() <= 1]
    assert kernels and others
    plain = torch.optim.AdamW(
        [{"params": kernels}, {"params": others, "weight_decay": 0.0}], lr=0.01, weight_decay=0.01, fused=True
    )
    batch = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        for network, optimizer in ((ours.network, own), (theirs.network, plain)):
            optimizer.zero_grad()
            network.train()(batch).square().sum().backward()
            optimizer.step()
    for name, value in ours.arrays().items():
        np.testing.assert_allclose(value, theirs.arrays()[name], atol=1e-6, err_msg=name)


def test_moments_go_on_where_they_were():
    batch = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    def step(one, optimizer):
        optimizer.zero_grad()
        one.network(batch).square().sum().backward()
        optimizer.step()

    whole, first, second = (classifier() for _ in range(3))
    going = ClassifierOptimizer(whole)
    step(whole, going)
    step(whole, going)
    before = ClassifierOptimizer(first)
    step(first, before)
    second.load(first.arrays())
    after = ClassifierOptimizer(second)
    after.load(before.arrays())
    step(second, after)
    for name, value in whole.arrays().items():
        np.testing.assert_allclose(second.arrays()[name], value, atol=1e-7)
