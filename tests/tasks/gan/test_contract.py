"""What every objective promises with every backbone: 'to add one' means to pass this suite."""

import numpy as np
import pytest
import torch

from fedray.data import LabelledTiles, TileShape
from fedray.learning import Condition
from fedray.tasks.gan import OBJECTIVES, Gan, Optimizers, local_pass
from fedray.tasks.gan.generators import GENERATORS
from tests.support.gans import GanSuite
from tests.support.hooks import Seen
from tests.support.networks import BACKBONES, FULL_SIZE, PAIRS, config, imagenet_file

SHAPE = TileShape(size=32, channels=3, num_labels=2, num_domains=2)


def settings(objective, backbone, **fields):
    return config(objective=objective, discriminator=backbone, **{"generator": "residual", "n_critic": 1, **fields})


def client(num=6, seed=0):
    random = np.random.default_rng(seed)
    tiles = random.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
    return LabelledTiles(tiles, np.arange(num) % 2, np.arange(num) // 2 % 2)


# Every objective with a discriminator of each family, and every generator with one of them.
CASES = {f"{objective}-{backbone}": settings(objective, backbone) for objective, backbone in PAIRS + FULL_SIZE}
CASES |= {generator: settings("acgan", "cnn", generator=generator, dropout=0.2) for generator in GENERATORS}
CASES["noise in every layer"] = settings("acgan", "cnn", generator_noise=True)


# All tests of a case, then the next one.
@pytest.mark.parametrize("config", CASES.values(), ids=CASES, scope="module")
class TestEveryGan(GanSuite):
    pass


@pytest.mark.parametrize(
    ("objective", "generator"),
    [(objective, "residual") for objective in OBJECTIVES] + [("acgan", "custom-cnn"), ("acgan", "residual, noise")],
)
def test_two_passes_with_kept_state_equal_one_and_the_same_seed_the_same_arrays(objective, generator):
    name, noisy = generator.split(",")[0], "noise" in generator
    config = settings(objective, "cnn", generator=name, generator_noise=noisy, dropout=0.2)

    def run(interrupted):
        gan = Gan(config, SHAPE, seed=0)
        optimizers = Optimizers(gan)
        for position in range(2):
            if interrupted and position:  # through arrays, as a checkpoint goes
                arrays, moments = gan.arrays(), optimizers.arrays()
                gan = Gan(config, SHAPE, seed=9)
                gan.load(arrays)
                optimizers = Optimizers(gan)
                optimizers.load(moments)
            local_pass(gan, optimizers, client(), num_steps=2, steps_before=2 * position, seed=position)
        return gan.arrays()

    first, second, whole = run(True), run(True), run(False)
    for name, value in whole.items():
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], value, atol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_frozen_backbone_stays_and_its_heads_learn(objective, tmp_path):
    weights = imagenet_file("resnet18", tmp_path)
    gan = Gan(settings(objective, "resnet18", initialisation="imagenet", weights=weights, freeze=True), SHAPE, seed=0)
    before, seen = gan.arrays(), {}

    def remember(name, network):
        seen[name] = {key for key, value in network.named_parameters() if value.grad is not None}

    local_pass(gan, Optimizers(gan), client(), num_steps=1, steps_before=0, seed=0, hooks=[Seen(remember)])
    after = gan.arrays()
    frozen = [name for name in before if name.startswith("discriminator.backbone.")]
    assert frozen
    for name in frozen:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    assert not any(name.startswith("backbone.") for name in seen["discriminator"])
    assert any(
        not np.array_equal(before[name], after[name])
        for name in before
        if name.startswith("discriminator.") and name not in frozen
    )


@pytest.mark.parametrize("backbone", [*BACKBONES, "resnet18", "vit_b_16", "swin_t", "projected"])
@pytest.mark.parametrize("size", [32, 48])
def test_backbones_take_tiles_of_several_sizes(backbone, size):
    gan = Gan(settings("acgan", backbone), SHAPE._replace(size=size), seed=0)
    condition = Condition(torch.tensor([0, 1]), torch.tensor([0, 1]))
    with torch.no_grad():
        assert gan.discriminator(torch.zeros(2, 3, size, size), condition).scores.shape[0] == 2
