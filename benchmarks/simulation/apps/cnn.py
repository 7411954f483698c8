"""A small convolutional network on clients of unequal sizes: real work, whose duration the clients report."""

import time
from functools import cache

import numpy as np
import torch
from flwr.app import RecordDict
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.network import smooth_cnn
from benchmarks.simulation.federation import TIMED_UPDATE_KEY, Metrics, Weights, make_client_app

_NUM_LABELS, _BATCH_SIZE, _LEARNING_RATE = 10, 16, 0.01
_SMALLEST, _LARGEST = 32, 160


def num_examples(client: int) -> int:
    """Return how many images a client has: 32 to 160."""
    return int(np.random.default_rng(client).integers(_SMALLEST, _LARGEST + 1))


def initial_weights() -> Weights:
    """Return the weights of a new network. The same every time."""
    torch.manual_seed(0)
    return {name: tensor.numpy() for name, tensor in smooth_cnn(128, _NUM_LABELS).state_dict().items()}


def update(weights: Weights, client: int, state: RecordDict) -> tuple[Weights, Metrics]:
    """Train for one epoch, and report the time it took, in such a way that the mean over the clients gives the sum."""
    start = time.perf_counter()
    trained = _train(weights, client)
    seconds = time.perf_counter() - start
    return trained, {"num-examples": num_examples(client), TIMED_UPDATE_KEY: seconds / num_examples(client)}


def _train(weights: Weights, client: int) -> Weights:
    network = _network()
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    optimizer = torch.optim.SGD(network.parameters(), lr=_LEARNING_RATE)
    images, labels = _images(client)
    for batch, target in zip(torch.split(images, _BATCH_SIZE), torch.split(labels, _BATCH_SIZE), strict=True):
        optimizer.zero_grad()
        functional.cross_entropy(network(batch), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def _images(client: int) -> tuple[Tensor, Tensor]:
    """Return a client's synthetic tiles, [N, 3, 32, 32] float32, and their labels, [N] int64."""
    generator = torch.Generator().manual_seed(client)
    shape = (num_examples(client), 3, 32, 32)
    return torch.randn(shape, generator=generator), torch.randint(_NUM_LABELS, shape[:1], generator=generator)


@cache
def _network() -> nn.Module:
    """Return this process's network, which clients use one after another."""
    torch.set_num_threads(1)
    return smooth_cnn(128, _NUM_LABELS)


client_app = make_client_app(update)
