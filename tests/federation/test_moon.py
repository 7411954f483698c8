"""MOON: its term against the paper's formula, and what it does to a client's pass."""

import numpy as np
import pytest
import torch

from fedray.config import ConfigError
from fedray.data import TileShape
from fedray.federation import client_half, make_strategy
from fedray.federation.messages import from_record
from fedray.federation.strategies.moon import contrast
from fedray.tasks.gan import Gan, shared_parts
from tests.support.federation import run
from tests.support.networks import batch

SHAPE = TileShape(16, 3, 3)


def test_the_term_is_the_papers():
    random = torch.Generator().manual_seed(0)
    own, common, previous = (torch.randn(7, 5, generator=random) for _ in range(3))

    def cosine(a, b):
        return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))

    near, far = torch.exp(cosine(own, common) / 0.5), torch.exp(cosine(own, previous) / 0.5)
    torch.testing.assert_close(contrast(own, common, previous), -torch.log(near / (near + far)).mean())
    assert contrast(own, own, -own) < contrast(own, common, previous) < contrast(own, -own, own)


@pytest.mark.parametrize("discriminator", ["cnn", "test_resnet"])
def test_a_pass_is_contrasted_with_the_round_before_and_moves_neither(small_config, discriminator):
    """The second round's term is of the server's network and of the client's own last one, both left as they are."""
    config = small_config(
        federation__strategy="moon", gan__objective="acgan", gan__discriminator=discriminator
    )  # fmt: skip
    gan, last = Gan(config.gan, SHAPE, seed=1), Gan(config.gan, SHAPE, seed=2)
    first = client_half(config)
    assert first.begin(last, {}, {}) == (), "nothing to compare with"
    assert set(first.end(last, {})) == set(last.arrays(shared_parts(config.federation)))
    before, (tiles, _, condition) = gan.arrays(), batch()
    (hook,) = client_half(config).begin(gan, {}, first.keep())
    assert all(np.array_equal(before[name], array) for name, array in gan.arrays().items())

    with torch.no_grad():
        gan.discriminator.train().score.weight.mul_(2)  # features are what is compared, not the judgement
        common = Gan(config.gan, SHAPE, seed=1).discriminator.eval().represent(tiles, condition)
        previous = last.discriminator.eval().represent(tiles, condition)
        own = gan.discriminator.represent(tiles, condition)
    for _ in range(2):
        term = hook.loss("discriminator", gan.discriminator, tiles, condition)
        torch.testing.assert_close(term, contrast(own, common, previous), atol=1e-5, rtol=1e-5)
    assert hook.loss("generator", gan.generator, tiles, condition) is None
    term.backward()
    moved = {name for name, value in gan.discriminator.named_parameters() if value.grad is not None}
    assert any(name.startswith("backbone.") for name in moved) and not any(name.startswith("score") for name in moved)


def test_what_a_client_keeps_is_its_own_last_result(small_config):
    _, reports, grid = run(small_config(federation__strategy="moon"))
    kept = [from_record(context.state.array_records["strategy"]) for context in grid.contexts.values()]
    assert all({name.split(".")[0] for name in arrays} == {"discriminator"} for arrays in kept)
    assert any(not np.array_equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert reports[-1].num_clients == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"federation__aggregate": "generator"},
        {"gan__discriminator": "projected", "gan__objective": "cgan-hinge", "gan__generator": "residual"},
    ],
)
def test_networks_without_a_vector_a_tile_are_refused(small_config, changes):
    with pytest.raises(ConfigError, match="'moon' compares the features of real tiles"):
        make_strategy(small_config(federation__strategy="moon", **changes), SHAPE)
