import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fedray.data import TileShape
from fedray.tasks.gan import Gan, Optimizers
from tests.support.networks import config

SHAPE = TileShape(size=16, channels=3, num_labels=2)
A_PASS = """
import sys
from fedray.tasks.gan import Gan, Optimizers, local_pass
from tests.support.networks import SHAPE, client, config
gan = Gan(config(batch_size=4, n_critic=3), SHAPE, 0)
optimizers = Optimizers(gan)
optimizers.load(optimizers.arrays())
local_pass(gan, optimizers, client(), num_steps=3, steps_before=0, seed=0)
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def test_training_without_compilation_loads_no_compiler():
    """It takes seconds in every worker; PyTorch's optimisers load it for nothing."""
    run = subprocess.run(
        [sys.executable, "-c", A_PASS], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr


def test_plain_sgd_goes_against_the_gradient_and_keeps_nothing():
    gan = Gan(config(optimizer="sgd", discriminator_lr=0.5), SHAPE, 0)
    optimizers, random = Optimizers(gan), torch.Generator().manual_seed(0)
    before = [parameter.detach().clone() for parameter in gan.discriminator.parameters()]
    total = [torch.zeros_like(parameter) for parameter in before]
    for _ in range(2):
        for parameter, sum_ in zip(gan.discriminator.parameters(), total, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=random)
            sum_ += parameter.grad
        optimizers.discriminator.step()
        optimizers.load(optimizers.arrays())
    assert optimizers.arrays() == {}
    for parameter, start, sum_ in zip(gan.discriminator.parameters(), before, total, strict=True):
        torch.testing.assert_close(parameter.detach(), start - 0.5 * sum_)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_are_those_of_pytorchs_adam(fused):
    """From its first moments on, through a checkpoint, and with parameters that have no gradient."""
    gan = Gan(config(fused_optimizer=fused), SHAPE, 0)
    plain = Gan(gan.config, SHAPE, 0)
    recipe = gan.config.recipe
    adam = torch.optim.Adam(
        plain.discriminator.parameters(), recipe.discriminator_lr, (recipe.beta1, recipe.beta2), fused=fused or None
    )
    ours = Optimizers(gan)
    random = torch.Generator().manual_seed(0)
    for step in range(4):
        if step == 2:
            moments = ours.arrays()
            ours = Optimizers(gan)
            ours.load(moments)
        pairs = list(zip(gan.discriminator.parameters(), plain.discriminator.parameters(), strict=True))
        for number, (parameter, expected) in enumerate(pairs):
            gradient = torch.randn(parameter.shape, generator=random) if number or step else None
            parameter.grad, expected.grad = gradient, None if gradient is None else gradient.clone()
        ours.discriminator.step()
        adam.step()
        ours.discriminator.zero_grad()
        assert all(parameter.grad is None for parameter, _ in pairs)
        for parameter, expected in pairs:
            torch.testing.assert_close(parameter, expected, atol=0, rtol=0)
            assert parameter.requires_grad and parameter.grad_fn is None
