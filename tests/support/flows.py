"""Small velocity networks, tiles for them, and Gaussians, of which everything is known in closed form."""

import torch

from fedray.config import ExperimentConfig, FlowConfig, override
from fedray.data import TileShape
from fedray.tasks.flow import Flow

SHAPE = TileShape(size=16, channels=3, num_labels=2)


def config(**fields):
    return FlowConfig(**{"channels": 8, "blocks": 1, "batch_size": 4, "steps": 2, "precision": "float32", **fields})


def flow(shape=SHAPE, seed=0, **fields):
    return Flow(config(**fields), shape, seed)


def shaken(network, seed=0):
    """Give weights that begin as zero, and so hide what comes before them, random values."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            if not value.any():
                value.normal_(std=0.1, generator=random)
    return network


def experiment(store, **changes):
    """A small federated experiment on a store: ``experiment(store, flow__lr=0.1)``."""
    small = {
        "task": "flow",
        "data.store": str(store.path),
        "flow.channels": 8,
        "flow.blocks": 1,
        "flow.batch_size": 4,
        "flow.steps": 2,
        "flow.precision": "float32",
        "federation.num_clients": 2,
        "federation.num_rounds": 2,
        "federation.local_epochs": 1,
        "resources.device": "cpu",
    }
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return override(ExperimentConfig(), {**small, **dotted}, "test")


class Gaussians:
    """A mixture of round Gaussians in the plane: ``means`` [K, 2], ``deviations`` [K], ``shares`` [K]."""

    def __init__(self, means, deviations, shares, dtype=torch.float32):
        self.means, self.deviations, self.shares = (
            torch.tensor(each, dtype=dtype) for each in (means, deviations, shares)
        )

    def draw(self, num, random):
        which = torch.multinomial(self.shares, num, replacement=True, generator=random)
        noise = torch.randn(num, 2, generator=random, dtype=self.means.dtype)
        return self.means[which] + self.deviations[which, None] * noise

    def velocity(self, points, times):
        """E[x - n | x_t]: of each component it is linear in x_t, and x_t says how likely each component is."""
        time = times.view(-1, 1)
        variance = (1 - time) ** 2 + (time * self.deviations) ** 2  # of x_t, [N, K]
        away = points[:, None] - time[:, :, None] * self.means  # [N, K, 2]
        slope = (time * self.deviations**2 - (1 - time)) / variance
        each = self.means + slope[:, :, None] * away
        logits = self.shares.log() - variance.log() - away.square().sum(2) / (2 * variance)
        return (logits.softmax(1)[:, :, None] * each).sum(1)


ONE = Gaussians([[1.5, -0.5]], [0.8], [1.0])
TWO = Gaussians([[2.0, 0.0], [-1.0, 1.0]], [0.6, 0.8], [0.7, 0.3])
