"""Muon against PyTorch's, which takes matrices alone, and against singular values."""

import numpy as np
import pytest
import torch

from fedray.learning.optimizers import Muon, near_orthogonal
from fedray.tasks.flow import FlowOptimizer
from tests.support.flows import flow


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def convolution(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(random(*shape).to(memory_format=torch.channels_last))


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16), (1, 9)])
def test_singular_vectors_stay_and_singular_values_go_through_the_polynomial(shape):
    matrix = random(*shape)
    left, values, right = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    found = near_orthogonal(matrix)
    np.testing.assert_allclose(found.numpy(), left @ (values[:, None] * right), atol=1e-4)
    assert values.min() > 0.6 and values.max() < 1.25
    assert torch.equal(near_orthogonal(torch.zeros(shape)), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_steps_of_a_matrix_are_pytorchs(shape):
    ours, theirs = (torch.nn.Parameter(random(*shape)) for _ in range(2))
    own = Muon([ours], lr=0.01, weight_decay=0.1)
    plain = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    start = ours.detach().clone()
    for step in range(4):
        ours.grad = random(*shape, step + 1)[..., -1].clone()
        theirs.grad = ours.grad.clone()
        own.step()
        plain.step()
    moved = (theirs.detach() - start).norm()
    assert (ours.detach() - theirs.detach()).norm() < 0.02 * moved, "PyTorch's computes in bfloat16"


def test_a_convolution_is_the_matrix_of_its_outputs_by_all_else():
    kernel, matrix = convolution(8, 4, 3, 3), torch.nn.Parameter(random(8, 4, 3, 3).flatten(1))
    own, plain = Muon([kernel], 0.1, 0.0), Muon([matrix], 0.1, 0.0)
    for step in range(3):
        kernel.grad = random(8, 4, 3, 3 + step)[..., :3].contiguous(memory_format=torch.channels_last)
        matrix.grad = kernel.grad.flatten(1)
        own.step()
        plain.step()
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach())


def test_a_weight_without_a_gradient_stays():
    kernel = convolution(8, 4, 3, 3)
    before = kernel.detach().clone()
    Muon([kernel], 0.1, 0.5).step()
    assert torch.equal(kernel.detach(), before)


def test_muon_moves_the_convolutions_between_the_first_and_the_last_and_adamw_the_others():
    one = flow(optimizer="muon")
    moments = _after_a_step(one).arrays()
    by_muon = [name for name in moments if name.startswith("network-muon.")]
    hidden = [name for name, value in one.network.named_parameters() if value.dim() == 4][1:-1]
    assert len(by_muon) == len(hidden) and all(name.endswith(".momentum_buffer") for name in by_muon)
    others = len(list(one.network.parameters())) - len(hidden)
    assert sum(name.endswith(".exp_avg") for name in moments) == others


def test_its_moments_go_on_where_they_were():
    whole, first, second = (flow(optimizer="muon") for _ in range(3))
    _after_a_step(whole, _after_a_step(whole))
    before = _after_a_step(first)
    second.load(first.arrays())
    after = FlowOptimizer(second)
    after.load(before.arrays())
    _after_a_step(second, after)
    for name, value in whole.arrays(["network"]).items():
        assert np.array_equal(second.arrays()[name], value), name


def _after_a_step(one, optimizer=None):
    """Step with gradients of a fixed seed."""
    optimizer = optimizer or FlowOptimizer(one)
    generator = torch.Generator().manual_seed(len(optimizer.arrays()))
    for value in one.network.parameters():
        value.grad = torch.empty_like(value).copy_(torch.randn(value.shape, generator=generator))
    optimizer.step()
    return optimizer
