"""The fused norm, modulation and SiLU against PyTorch's own, one after another."""

import pytest
import torch
from torch.nn import functional

from fedray.tasks.flow.norms import modulated_silu


def plain(features, scale, shift, num_groups):
    return functional.silu(
        functional.group_norm(features, num_groups) * scale[:, :, None, None] + shift[:, :, None, None]
    )


def results(function, dtype, shape, num_groups, layout):
    random = torch.Generator().manual_seed(0)
    features = (torch.randn(shape, generator=random) * 2 + 0.7).to(dtype).to(memory_format=layout).requires_grad_()
    scale, shift = (torch.randn(shape[:2], generator=random).requires_grad_() for _ in range(2))
    made = function(features, scale, shift, num_groups)
    made.backward(torch.randn(shape, generator=random).to(dtype))
    return made.detach(), features.grad, scale.grad, shift.grad


@pytest.mark.parametrize("shape", [(3, 16, 8, 8), (1, 8, 5, 7), (2, 24, 1, 1)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
def test_values_and_gradients_are_those_of_pytorch(shape, layout, dtype, tolerance):
    found = results(modulated_silu, dtype, shape, shape[1] // 8, layout)
    expected = results(plain, torch.float32, shape, shape[1] // 8, layout)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one.float() - other).abs().max() <= tolerance * other.abs().max()
    assert found[0].dtype == found[1].dtype == dtype and found[2].dtype == torch.float32


def test_without_a_gradient_it_is_the_same():
    given = (torch.randn(2, 8, 4, 4), torch.randn(2, 8), torch.randn(2, 8), 1)
    with_gradient = modulated_silu(given[0].clone().requires_grad_(), *given[1:])
    assert torch.equal(modulated_silu(*given), with_gradient)
    assert torch.equal(given[0], given[0].clone())
