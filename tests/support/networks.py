"""Small networks, and tiles to train them on."""

import numpy as np
import torch
from torch import nn

from fedray.config import GanConfig
from fedray.data import LabelledTiles, TileShape
from fedray.learning import Condition
from fedray.tasks.gan import OBJECTIVES, Gan, Judgement

# One of each family that a federation may use: of timm those that it keeps for tests, with 0.1 to 0.4 M parameters.
BACKBONES = ["cnn", "test_resnet", "test_vit", "test_efficientnet"]
PAIRS = [(objective, backbone) for backbone in BACKBONES for objective in OBJECTIVES]
PAIRS += [(objective, "projected") for objective in ("cgan-hinge", "acgan", "acgan-ns")]  # refused with the others
# Of arXiv 2504.04130's own choices, with 24 and 28 M: one of BatchNorm and bottlenecks, and windows: timm has no small
# model of them.
FULL_SIZE = [("cgan-hinge", "resnet50"), ("wgan-gp", "swin_t")]
SHAPE = TileShape(size=16, channels=3, num_labels=3)
SMALL = {"latent_dim": 8, "generator_channels": 8, "discriminator_channels": 8, "batch_size": 6}


def config(**fields):
    return GanConfig(**{**SMALL, **fields})


def condition(num=6, shape=SHAPE):
    return Condition(torch.arange(num) % shape.num_labels, torch.arange(num) % shape.num_domains)


def batch(num=6, size=16):
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(num, 3, size, size, generator=random) * 2 - 1 for _ in range(2))
    return real, fake, condition(num)


def client(num=10):
    random = np.random.default_rng(0)
    tiles, labels = random.integers(0, 256, (num, 16, 16, 3), dtype=np.uint8), random.integers(0, 2, num)
    return LabelledTiles(tiles, labels, np.zeros(num, np.int64))


class Linear(nn.Module):
    """D(x) = w . x for every sample: its gradient is w everywhere."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, tiles, condition):
        return Judgement((tiles * self.weight).sum(dim=(1, 2, 3)))


class Quadratic(nn.Module):
    """D(x) = a ||x||^2 / 2: its gradient at x is a x."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, tiles, condition):
        return Judgement(0.5 * self.factor * tiles.square().sum(dim=(1, 2, 3)))


class Points:
    """A GAN over points of the plane in the place of tiles: multi-layer perceptrons with the objective's heads."""

    @staticmethod
    def gan(settings, num_labels, width=128):
        """Return a Gan whose networks are replaced; points [N, 2, 1, 1] take the place of tiles."""
        shape = TileShape(16, 3, num_labels)
        gan = Gan(settings, shape, seed=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            gan.generator = _PointGenerator(settings.latent_dim, num_labels, width)
            conditioning = OBJECTIVES[settings.objective].conditioning
            gan.discriminator = _PointDiscriminator(num_labels, width, conditioning)
        gan.generator_ema = _PointGenerator(settings.latent_dim, num_labels, width).requires_grad_(False)
        gan.generator_ema.load_state_dict(gan.generator.state_dict())
        return gan


class _PointGenerator(nn.Module):
    def __init__(self, latent, num_labels, width):
        super().__init__()
        self.label = nn.Embedding(num_labels, 16)
        self.body = nn.Sequential(
            nn.Linear(latent + 16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        )

    def forward(self, noise, condition):
        return self.body(torch.cat([noise, self.label(condition.labels)], 1)).view(-1, 2, 1, 1)


class _PointDiscriminator(nn.Module):
    def __init__(self, num_labels, width, conditioning):
        super().__init__()
        self.conditioning = conditioning
        self.label = nn.Embedding(num_labels, 16 if conditioning == "multiply" else width)
        inward = 2 + (16 if conditioning == "multiply" else 0)
        self.body = nn.Sequential(
            nn.Linear(inward, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.score, self.tell = nn.Linear(width, 1), nn.Linear(width, num_labels)

    def forward(self, points, condition):
        points = points.flatten(1)
        joined = torch.cat([points, self.label(condition.labels)], 1) if self.conditioning == "multiply" else points
        features = self.body(joined)
        scores = self.score(features).squeeze(1)
        if self.conditioning == "projection":
            scores = scores + (self.label(condition.labels) * features).sum(1)
        return Judgement(scores, self.tell(features) if self.conditioning == "classifier" else None)


def imagenet_file(name, folder):
    """Write a weight file as timm would download it; random numbers stand for ImageNet's."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(5)
    path = folder / f"{name}.safetensors"
    save_file(timm.create_model(name).state_dict(), path)
    return str(path)
