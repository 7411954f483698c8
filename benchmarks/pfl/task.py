"""The task of both engines: 1.6 M parameters and synthetic images in CIFAR's shape. Needs torch alone."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.network import smooth_cnn

NUM_CLIENTS = 50  # all of them take part in every round
IMAGES_PER_CLIENT = 50
BATCH_SIZE = 10
LEARNING_RATE = 0.1
_NUM_LABELS = 10


class Network(nn.Module):
    """A convolutional network with 1,596,490 parameters. Images are [N, 3, 32, 32] float32, labels [N] int64."""

    def __init__(self) -> None:
        """Make it with PyTorch's default initialisation."""
        super().__init__()
        self.layers = smooth_cnn(384, _NUM_LABELS)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy, a scalar."""
        return functional.cross_entropy(self.layers(images), labels)


def seed_network() -> None:
    """Have the next network start from the same weights every time; one thread a process from now on."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@cache
def client_data(client: int) -> tuple[Tensor, Tensor]:
    """Return a client's images and labels, made once in a process."""
    generator = torch.Generator().manual_seed(client)
    shape = (IMAGES_PER_CLIENT, 3, 32, 32)
    return torch.randn(shape, generator=generator), torch.randint(_NUM_LABELS, shape[:1], generator=generator)
